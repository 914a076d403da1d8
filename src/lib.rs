//! The circlet node: HTTP edge, use cases, trust directory, command line. The only place that wires the crates together.
