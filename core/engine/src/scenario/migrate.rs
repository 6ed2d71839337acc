//! Takes the step that moves the data of a plugin, as an upgrade to the version under test would.

use rapport_model::plugin::{PluginVersion, migration};

use super::Migrate;
use super::play::{Halt, Player};
use crate::plugins::move_alone;

/// The most slices of a step: a migration in a story that takes more has no end.
const SLICES_MAX: u64 = 10_000;

impl Player<'_> {
    /// Moves what data there are from the version that is named to the one under test.
    pub(super) async fn migrate(&self, asked: &Migrate) -> Result<(), Halt> {
        let live = self.engine.inner.snapshot.load_full();
        let moves = |id: Option<&str>| {
            let all = live.active().iter().filter(|version| !version.declaration.migrations.is_empty());
            all.filter(|version| id.is_none_or(|id| version.id.as_str() == id)).cloned().collect::<Vec<_>>()
        };
        let found = moves(asked.plugin.as_deref());
        let [version] = found.as_slice() else {
            return Err(Halt::Refused(match (found.len(), &asked.plugin) {
                (0, None) => "no plugin here has `[[migrations]]` in its plugin.toml".to_owned(),
                (0, Some(id)) => format!("there is no plugin `{id}` with `[[migrations]]` in its plugin.toml"),
                _ => "several plugins here have migrations: name one as `plugin`".to_owned(),
            }));
        };
        let from: PluginVersion = asked
            .from
            .parse()
            .map_err(|e: rapport_model::plugin::version::InvalidVersion| Halt::Refused(e.to_string()))?;
        let steps =
            migration::chain(&version.declaration.migrations, from).map_err(|gap| Halt::Refused(gap.to_string()))?;
        if steps.is_empty() {
            return Err(Halt::Refused(format!(
                "data of {from} have not to be moved: no migration leads on from there"
            )));
        }
        move_alone(&self.engine.inner, version, steps, SLICES_MAX).await.map_err(|why| match why {
            Ok(why) => Halt::Refused(why),
            Err(error) => Halt::from(error),
        })
    }
}
