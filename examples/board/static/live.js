// Draws the server's figures, once a second.
"use strict";

function row(cells) {
  const tr = document.createElement("tr");
  for (const [text, isNumber] of cells) {
    const td = document.createElement("td");
    td.textContent = text;
    if (isNumber) td.className = "number";
    tr.append(td);
  }
  return tr;
}

function shown(value) {
  return typeof value === "number" && !Number.isInteger(value) ? value.toFixed(1) : String(value);
}

async function draw() {
  const figures = await (await fetch("live.json")).json();
  document.getElementById("unknown").hidden = figures.known;
  const { known, slow_requests: slow = [], ...numbers } = figures;
  document.querySelector("#figures tbody").replaceChildren(
    ...Object.entries(numbers).map(([name, value]) => row([[name.replaceAll("_", " "), false], [shown(value), true]])),
  );
  document.querySelector("#slow tbody").replaceChildren(
    ...slow.map((request) => row([[request.seconds.toFixed(1), true], [request.method, false], [request.path, false]])),
  );
}

setInterval(() => draw().catch(() => {}), 1000);
draw();
