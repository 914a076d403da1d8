//! Log lines on stderr.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::home::settings::{LogFormat, NodeSettings};

/// Starts writing log lines; a second time changes nothing.
pub(super) fn start(settings: &NodeSettings) {
    let filter = EnvFilter::try_from_env("CIRCLET_LOG").or_else(|_| EnvFilter::try_new(&settings.log_level));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // It fails only if something else has set up logging before, as in a test.
    let _ = match settings.log_format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
