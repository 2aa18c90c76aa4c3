//! The server of the page: what its requests share, and the table of its resources.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use tokio::time::sleep;

use super::{
    access::HostNames,
    api, assets,
    connections::Listening,
    events::{self, EventFeed},
    gate, log, metrics, pages,
    sessions::LoginSessions,
    stores::StorePool,
    tls::PageTls,
};
use crate::{
    clock::Clock,
    error::Result,
    observe::{EventEmitter, metrics::Metrics},
    schedule::{
        daemon::{Message, SchedulerView},
        jobs::Listen,
    },
    store::StorePlace,
};

/// The maximum number of connections: a browser opens up to six, and one stream of events for each page.
const CONNECTIONS_MAX: usize = 256;
/// The time between two computations of the next slot of each job.
const COMING_INTERVAL: Duration = Duration::from_secs(5);

/// The configuration of the page.
#[derive(Debug)]
pub struct WebSetup {
    /// The settings of the jobs file, with the address to listen at.
    pub listen: Listen,
    /// The state folder.
    pub state: PathBuf,
    /// The place of the store.
    pub place: StorePlace,
    /// The state of the scheduler.
    pub view: Arc<SchedulerView>,
    /// The mailbox of the scheduler.
    pub mailbox: Sender<Message>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: Clock,
    /// The log of the scheduler, which names who did what.
    pub observer: EventEmitter,
}

/// The running page.
#[derive(Debug)]
pub struct WebServer {
    /// The address of the page: the requested port may have been 0.
    pub url: String,
}

/// The state that requests share.
#[derive(Debug)]
pub(super) struct WebState {
    pub(super) stores: Arc<StorePool>,
    pub(super) view: Arc<SchedulerView>,
    pub(super) mailbox: Sender<Message>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) observer: EventEmitter,
    pub(super) sessions: LoginSessions,
    pub(super) hosts: HostNames,
    pub(super) anonymous_read: bool,
    pub(super) is_tls: bool,
    pub(super) feed: EventFeed,
}

impl WebServer {
    /// Serves the page at `address` on a separate thread, for the lifetime of the process. Fails if its settings would
    /// expose it.
    pub fn serve(address: SocketAddr, setup: WebSetup) -> Result<Self> {
        let WebSetup { listen, state, place, view, mailbox, metrics, clock, observer } = setup;
        if let Some((_, fault)) = listen.problem() {
            return Err(fault);
        }
        let tls = listen.cert.as_ref().map(|cert| PageTls::read(cert, listen.key.as_deref()));
        let tls = tls.transpose()?;
        let listening = Listening::at(address, "serve the page")?;
        let address = listening.address;
        let url = format!("http{}://{address}/", if tls.is_some() { "s" } else { "" });
        if place.is_shared() {
            pages::show_machines();
        }
        let web = Arc::new(WebState {
            stores: StorePool::new(state, place),
            view,
            mailbox,
            metrics,
            clock,
            observer,
            sessions: LoginSessions::default(),
            hosts: HostNames { address, named: listen.hosts },
            anonymous_read: listen.anonymous_read,
            is_tls: tls.is_some(),
            feed: EventFeed::default(),
        });
        listening.serve(CONNECTIONS_MAX, tls, move || {
            tokio::spawn(events::watch(Arc::clone(&web)));
            tokio::spawn(keep_coming(Arc::clone(&web)));
            router(web)
        })?;
        Ok(Self { url })
    }
}

/// Computes the next slot of each job before anybody asks for it.
async fn keep_coming(web: Arc<WebState>) {
    loop {
        let (view, jobs, now) = (Arc::clone(&web.view), web.view.jobs(), web.clock.now());
        // A panic in it would be told by the request that computes the same.
        tokio::task::spawn_blocking(move || drop(view.coming(&jobs, now))).await.ok();
        sleep(COMING_INTERVAL).await;
    }
}

/// Returns every resource.
fn router(web: Arc<WebState>) -> Router {
    let api = Router::new()
        .route("/jobs", get(api::jobs))
        .route("/jobs/{name}", get(api::job))
        .route("/jobs/{name}/trigger", post(api::trigger))
        .route("/jobs/{name}/pause", post(api::pause))
        .route("/jobs/{name}/resume", post(api::resume))
        .route("/runs", get(api::runs))
        .route("/runs/{id}", get(api::run))
        .route("/runs/{id}/log", get(log::text))
        .route("/runs/{id}/stop", post(api::stop))
        .route("/servers", get(api::servers))
        .route("/machines", get(api::machines))
        .route("/next", get(api::next))
        .route("/events", get(events::stream))
        .route("/openapi.json", get(assets::openapi));
    let pages = Router::new()
        .route("/", get(pages::jobs))
        .route("/jobs/{name}", get(pages::job))
        .route("/jobs/{name}/trigger", post(pages::trigger))
        .route("/jobs/{name}/pause", post(pages::pause))
        .route("/jobs/{name}/resume", post(pages::resume))
        .route("/runs", get(pages::runs))
        .route("/runs/{id}", get(pages::run))
        .route("/runs/{id}/stop", post(pages::stop))
        .route("/calendar", get(pages::calendar))
        .route("/servers", get(pages::servers))
        .route("/machines", get(pages::machines))
        .route("/login", get(pages::login).post(pages::log_in))
        .route("/logout", post(pages::log_out))
        .route("/assets/{name}", get(assets::file));
    let counters = Arc::clone(&web.metrics);
    pages
        .nest("/api/v1", api)
        .route("/metrics", get(move || metrics::answer(Arc::clone(&counters))))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::wrong_method)
        .layer(DefaultBodyLimit::max(api::BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&web), gate::pass))
        .with_state(web)
}
