//! The crate from the outside, in one binary: hostile vectors, properties, keys and certificates, persisted forms.
mod certificates;
mod data;
mod forge;
mod hostile;
mod keys;
mod minting;
mod persisted;
mod properties;
mod remembering;
mod themes;
mod vectors;
