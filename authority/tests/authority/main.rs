//! The authority from outside: scripts, properties, frozen bytes.

mod house;
mod properties;
mod scripts;
mod speak;
