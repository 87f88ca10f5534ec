"""The runtime of the native core: hub, timers, poller, park and unpark."""
