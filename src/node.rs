//! One serving node: opens the home, wires the rooms, runs until told to stop.
