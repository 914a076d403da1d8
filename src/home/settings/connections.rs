//! How many clients may be connected to a node.

/// How many clients may be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionsMax {
    /// In all.
    pub all: usize,
    /// From one address; one /64 of IPv6 is one address.
    pub per_address: usize,
}

impl Default for ConnectionsMax {
    fn default() -> Self {
        Self { all: 8192, per_address: 4096 }
    }
}

impl ConnectionsMax {
    /// As many of them as a process can have that may open so many files, some of which it needs itself.
    #[must_use]
    pub fn within(self, open_files: u64) -> Self {
        let room = usize::try_from(open_files.saturating_sub(OWN_FILES)).unwrap_or(usize::MAX).max(1);
        Self { all: self.all.min(room), per_address: self.per_address.min(room) }
    }
}

/// Files that a node has open beside its clients' connections: the log, its peers, what it reads now and then.
const OWN_FILES: u64 = 256;

#[cfg(test)]
mod tests {
    use super::ConnectionsMax;

    #[test]
    fn there_are_no_more_places_than_files() {
        let max = ConnectionsMax::default();
        assert_eq!(max.within(1 << 20), max);
        assert_eq!(max.within(1_024), ConnectionsMax { all: 768, per_address: 768 });
    }
}
