//! Log lines on stderr.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::home::settings::{LogFormat, NodeSettings};

/// Starts writing log lines; a second time changes nothing.
pub(super) fn start(settings: &NodeSettings) {
    let written = std::env::var("CIRCLET_LOG").unwrap_or_else(|_| settings.log_level.clone());
    let filter = EnvFilter::try_new(with_quiet_engine(&written)).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // It fails only if something else has set up logging before, as in a test.
    let _ = match settings.log_format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// The consensus engine tells every step at `info`, and at `warn` twenty times a second that a peer is gone; it is heard
/// at `error` unless the filter names it. Who leads and who is missing is in the cluster's status.
fn with_quiet_engine(filter: &str) -> String {
    if filter.contains("openraft") { filter.to_owned() } else { format!("{filter},openraft=error") }
}
