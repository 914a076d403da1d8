//! The directory of trusted certificates, as an interface to the circle of trust.
