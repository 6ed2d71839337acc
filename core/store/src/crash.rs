//! Places at which a test lets the process die, as by `kill -9`: in builds for development alone.
//!
//! `RAPPORT_CRASH_AT` names the place; the process dies there once the file that `RAPPORT_CRASH_IF` names is there, so that a test
//! can set up in peace. A release build holds nothing of this.

/// Dies here, if this is the place that was asked for.
#[inline]
pub fn crash_point(place: &str) {
    #[cfg(debug_assertions)]
    {
        let asked = std::env::var_os("RAPPORT_CRASH_AT").is_some_and(|at| at == place);
        let now = || std::env::var_os("RAPPORT_CRASH_IF").is_some_and(|file| std::path::Path::new(&file).exists());
        if asked && now() {
            std::process::abort();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = place;
}
