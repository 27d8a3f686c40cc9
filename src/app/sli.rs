//! Levels of service and spans: where they are filed, who writes them, who reports them. Invariant: nothing here is needed to take or store
//! an event.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Roles;
use crate::config::Config;
use crate::domain::time::Timestamp;
use crate::slo::desk::Desk;
use crate::slo::flush::Flusher;
use crate::slo::objectives::Objectives;
use crate::slo::sign::ReportSigner;
use crate::store::SliStore;
use crate::telemetry::sli::Recorder;
use crate::telemetry::trace::Tracer;

pub(super) struct Sli {
    /// `None` where the configuration wants no sums.
    pub(super) recorder: Option<Recorder>,
    /// `None` without a collector.
    pub(super) tracer: Option<Tracer>,
    pub(super) store: SliStore,
    pub(super) desk: Desk,
}

impl Sli {
    /// Reads objectives and key, and starts whoever writes.
    pub(super) fn open(
        config: &Config,
        roles: Roles,
        tasks: &TaskTracker,
        background: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let url = roles.database_url(&config.database)?;
        let store = SliStore::open(url, &config.database).map_err(anyhow::Error::from_boxed)?;
        let objectives = Objectives::load(config.slo.slo_file.as_deref())?;
        let signer = config.slo.slo_signing_key_file.as_deref().map(ReportSigner::from_pem_file).transpose()?;
        let desk = Desk::new(store.clone(), objectives, signer);
        let recorder = config.slo.slo_record.then(Recorder::default);
        if let Some(recorder) = &recorder {
            let flusher = Flusher::new(recorder.clone(), store.clone(), &config.slo, roles.api, Timestamp::now());
            tasks.spawn(flusher.run(background.clone()));
        }
        let tracer = Tracer::start(&config.telemetry, tasks, background)?;
        Ok(Self { recorder, tracer, store, desk })
    }
}
