//! The authority from outside: scripts, properties, frozen bytes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod circle_anew;
mod feed;
mod feed_keys;
mod floor;
mod heir;
mod house;
mod many;
mod next_generation;
mod properties;
mod scripts;
mod settings;
mod speak;
mod tell;
mod vectors;
mod whole_way;
