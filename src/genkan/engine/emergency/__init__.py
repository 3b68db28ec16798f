"""
The emergency protocol: an account whose device is lost, stolen or in somebody else's hands.

Holding an account is cheap, fast and ends by itself; changing who controls it needs evidence that did not live on the
lost thing, and takes time that everybody involved is told about. `protocol.advance` moves an account from state to
state as `engine.advance` moves a flow, over days instead of minutes; `gate.ask` says what a state allows, and comes
before policy wherever power is exercised.
Pure, like all of the engine: clock and entropy are passed in, timers are compared and never run.
"""
