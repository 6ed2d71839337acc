//! How much the lanes have to do.

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Runs in memory that wait for their lane.
    pub queued: usize,
    /// Runs that work, or wait for their commit.
    pub running: usize,
    /// Runs that wait until they are tried again.
    pub sleeping: usize,
    /// Whether more runs wait in the database than memory holds.
    pub more: bool,
    /// Of those that wait for their lane and those that work, the runs of fan-outs.
    pub fan_out: usize,
}
