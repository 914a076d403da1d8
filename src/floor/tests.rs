//! What is in the room's own files is compiled into the simulator as well; so the tests are here.

mod frames;
mod proof;
mod standing;
