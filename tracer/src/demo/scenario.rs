//! What a scenario is.

use serde_json::Map;

use crate::{demo::stage::Stage, event::Event, report::ScenarioReport};

/// A scenario: actions, and a judgement of what they led to.
pub trait Script {
    /// The name on the command line.
    const NAME: &'static str;
    /// What will be played, in one line.
    const TITLE: &'static str;
    /// What the scenario learns from others than the probes.
    type Witness;

    /// Acts, and waits until the probes have reported the last event that is to be expected.
    ///
    /// # Errors
    /// This kernel cannot play it, or something did not happen in time.
    fn play(&self, stage: &Stage) -> anyhow::Result<Self::Witness>;

    /// Says what happened, from the probes' events and the witness alone.
    fn judge(&self, events: &[Event], witness: &Self::Witness) -> ScenarioReport;
}

/// A [`Script`] of any kind of witness.
pub trait Scenario: Sync {
    /// The name on the command line.
    fn name(&self) -> &'static str;
    /// What will be played, in one line.
    fn title(&self) -> &'static str;
    /// Plays and judges it; blocks until then, at most until the stage's deadline and a little longer.
    fn perform(&self, stage: &Stage) -> ScenarioReport;
}

impl<S: Script + Sync> Scenario for S {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn title(&self) -> &'static str {
        S::TITLE
    }

    fn perform(&self, stage: &Stage) -> ScenarioReport {
        match self.play(stage) {
            Ok(witness) => self.judge(&stage.events(), &witness),
            Err(error) => ScenarioReport {
                scenario: S::NAME,
                ok: false,
                outcome: format!("{error:#}"),
                facts: Map::new(),
                exhibits: Vec::new(),
                verdict: vec!["It was not played to its end, so it shows nothing.".to_owned()],
            },
        }
    }
}
