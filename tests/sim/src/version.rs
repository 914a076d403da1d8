//! Which version of the program a node runs: one of before, the product as it is, or one to come. It is in the place of the
//! product's own, where one program is one version. Of each that matters here which feature levels it supports.

use crate::scope;

/// The product says which one it is.
#[path = "../../../src/version.rs"]
pub mod product;

/// The first version.
pub const FIRST: u32 = 1;
/// From this one on a proposal may carry a trace.
pub const TRACES_FROM: u32 = 2;

/// The product as it is.
#[must_use]
pub fn present() -> u32 {
    product::supported()
}

/// The next version, of which nothing is known but that it supports one level more.
#[must_use]
pub fn next() -> u32 {
    present() + 1
}

/// The highest feature level that the node supports which is being polled; outside of nodes, the highest there is.
#[must_use]
pub fn supported() -> u32 {
    scope::current().map_or_else(next, |scope| scope.version())
}
