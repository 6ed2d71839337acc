//! What a slice may do.

/// What one slice may do at most, beside what the sandbox limits.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "limits say so in their names")]
pub(crate) struct SliceLimits {
    pub(crate) rows_read_max: u32,
    pub(crate) writes_max: u32,
    pub(crate) effects_max: u32,
    /// What a plugin may keep for itself, in bytes.
    pub(crate) kv_bytes_max: usize,
}
