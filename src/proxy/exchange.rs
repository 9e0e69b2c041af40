//! One request that is being answered: what is needed of it after its parts have gone on.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, Response, Uri, Version};

use super::body::ResponseBody;
use super::connection::Origin;
use super::exec::StreamTask;
use super::forward::Failure;
use super::intake::Intake;
use super::lifeline::{Hold, Line};
use super::quota;
use super::refuse::{self, Refused};
use super::worker::{Current, Worker};
use crate::clock;
use crate::config::TraceTrust;
use crate::gate::Denial;
use crate::gate::Endpoint;
use crate::gate::Quota;
use crate::gate::RouteIndex;
use crate::gate::Transport;
use crate::gate::Verdict;
use crate::keys::KeyIndex;
use crate::observe::About;
use crate::observe::Fate;
use crate::observe::RecordGuard;
use crate::observe::RouteId;

/// One request, from its head to its answer's head.
pub(super) struct Exchange {
    pub(super) worker: Rc<Worker>,
    pub(super) record: RecordGuard,
    pub(super) request_id: HeaderValue,
    pub(super) transport: Transport,
    client: IpAddr,
    /// What is left of the rate that it was charged to.
    pub(super) quota: Option<Quota>,
    world: Rc<Current>,
    method: Method,
    uri: Uri,
    version: Version,
    /// Whether these three are not what came, since that could not be read.
    unread: bool,
    /// What is told of a request only where somebody asks for it.
    host: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    bearer: bool,
    key: Option<KeyIndex>,
    route: Option<RouteIndex>,
    endpoint: Option<Endpoint>,
    origin: Rc<Origin>,
}

impl Exchange {
    /// Begins the account of a request whose head has been read.
    pub(super) fn begin(worker: Rc<Worker>, origin: &Rc<Origin>, parts: &Parts) -> Self {
        let now = clock::mono();
        origin.heard(now);
        Self {
            record: RecordGuard::new(worker.metrics(), now),
            request_id: worker.request_id(&parts.headers),
            transport: origin.transport,
            client: origin.peer.address,
            quota: None,
            world: worker.world(),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            unread: false,
            host: None,
            agent: None,
            bearer: false,
            key: None,
            route: None,
            endpoint: None,
            origin: Rc::clone(origin),
            worker,
        }
    }

    /// Notes who asks, in what trace, and for what host.
    pub(super) fn meet(&mut self, parts: &Parts, intake: &Intake) {
        self.client = intake.client;
        self.unread = intake.unread;
        let tracing = self.world.tracing();
        if tracing.traceparent {
            let trusted = match tracing.trust {
                TraceTrust::Everyone => true,
                TraceTrust::TrustedProxies => intake.is_relayed(),
                TraceTrust::Nobody => false,
            };
            self.record.trace(self.worker.traces().of(&parts.headers, trusted, tracing));
        }
        let (host, agent) = self.record.tells();
        if host {
            self.host = intake.host.clone().ok();
        }
        if agent {
            self.agent = parts.headers.get(USER_AGENT).cloned();
        }
    }

    /// Who is believed to have sent it.
    pub(super) const fn client(&self) -> IpAddr {
        self.client
    }

    /// Ties it to its key and to the end of its time.
    pub(super) fn tie(&self, key: Option<KeyIndex>, until: Option<Instant>) -> Rc<Line> {
        let socket = self.origin.socket.clone().map(Hold::Connection);
        let hold = socket.or_else(|| StreamTask::current().map(Hold::Stream));
        self.worker.lifelines().tie(&self.world, key.map(|key| (key, self.client)), until, hold)
    }

    /// Whom the upstream is told of, in the words of `X-Forwarded-For`.
    pub(super) fn chain(&self, intake: &Intake) -> HeaderValue {
        self.origin.chain(intake)
    }

    /// The world that judges it.
    pub(super) const fn world(&self) -> &Rc<Current> {
        &self.world
    }

    /// Whether it came by HTTP/1.1, the one version that upgrades.
    pub(super) fn is_http11(&self) -> bool {
        self.version == Version::HTTP_11
    }

    /// Whether it came by HTTP/2, where a client takes an answer piece by piece.
    pub(super) fn is_http2(&self) -> bool {
        self.version == Version::HTTP_2
    }

    /// Goes on in a newer world: who has waited is judged again.
    pub(super) fn renew(&mut self) {
        self.world = self.worker.world();
    }

    /// Notes what a decision learnt.
    pub(super) fn note(&mut self, verdict: &Verdict) {
        self.bearer = verdict.bearer;
        self.key = verdict.key;
        self.route = verdict.route;
        self.note_use();
    }

    /// Notes that it is for us.
    pub(super) const fn note_endpoint(&mut self, endpoint: Endpoint) {
        self.endpoint = Some(endpoint);
    }

    /// Notes who asked an endpoint.
    pub(super) fn note_holder(&mut self, key: Option<KeyIndex>, bearer: bool) {
        self.key = key;
        self.bearer = bearer;
        self.note_use();
    }

    /// Whoever presents a key uses it, whatever comes of it.
    fn note_use(&self) {
        if let Some(key) = self.key {
            self.worker.usage().note(&self.world, key, self.client);
        }
    }

    /// Says what becomes of it.
    pub(super) fn settle(&mut self, fate: Fate) {
        let route = match (self.endpoint, self.route) {
            (Some(endpoint), _) => self.world.endpoint_id(endpoint),
            (None, Some(route)) => self.world.route_id(route),
            (None, None) => RouteId::NONE,
        };
        self.told(|record, about| record.settle(fate, route, about));
    }

    /// Says what is known of it before a wait, in which its client may leave.
    pub(super) fn await_others(&mut self) {
        self.told(|record, about| record.note(about));
    }

    fn told(&mut self, tell: impl FnOnce(&mut RecordGuard, &About<'_>)) {
        let world = &self.world;
        let record = self.key.and_then(|key| world.snapshot().table().record(key));
        let rule = self.route.and_then(|route| world.snapshot().routes().get(route));
        let agent = self.agent.as_ref().map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let read = |said| (!self.unread).then_some(said);
        let about = About {
            method: read(self.method.as_str()),
            path: read(self.uri.path()),
            request_id: self.request_id.to_str().unwrap_or_default(),
            client: self.client,
            peer: self.origin.peer.address,
            host: self.host.as_ref().and_then(|host| host.to_str().ok()),
            agent: agent.as_deref(),
            transport: self.transport,
            version: (!self.unread).then(|| version(self.version)),
            generation: world.generation(),
            key: record.map(|record| record.id_text()),
            account: record.map(|record| record.owner()),
            place: rule.map(|rule| &rule.place),
        };
        tell(&mut self.record, &about);
    }

    /// Answers with a refusal.
    pub(super) fn refuse(mut self, denial: Denial, close: bool) -> Response<ResponseBody> {
        self.settle(Fate::Refused(denial));
        self.answer(denial, close)
    }

    /// Answers for an upstream that did not, or for a key that died meanwhile. What is left of an
    /// `unread` body ends the connection: a client that is not told loses its next request there.
    pub(super) fn fail(mut self, failure: &Failure, unread: bool) -> Response<ResponseBody> {
        match failure {
            Failure::Upstream(denial, kind, detail) => {
                self.worker.complain(*kind, detail);
                self.settle(Fate::Failed(*denial));
                self.answer(*denial, unread)
            }
            Failure::Dead(denial) => self.refuse(*denial, unread),
            Failure::Slow => self.refuse(Denial::RequestTimeout, true),
            Failure::Client => self.refuse(Denial::MalformedRequest, true),
        }
    }

    /// Answers with a document of our own.
    pub(super) fn mint(mut self, document: &str, close: bool) -> Response<ResponseBody> {
        self.settle(Fate::Minted);
        let body = Bytes::copy_from_slice(document.as_bytes());
        let mut response = Response::new(ResponseBody::Own(Some(body)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-request-id", self.request_id.clone());
        self.finish(response, close)
    }

    fn answer(self, denial: Denial, close: bool) -> Response<ResponseBody> {
        let refused = Refused {
            request_id: &self.request_id,
            transport: self.transport,
            bearer: self.bearer,
        };
        let mut response = refuse::refuse(denial, self.world.snapshot().answers(), &refused);
        quota::tell_when(response.headers_mut(), denial, self.quota.as_ref());
        self.finish(response, close)
    }

    fn finish(
        mut self,
        mut response: Response<ResponseBody>,
        close: bool,
    ) -> Response<ResponseBody> {
        if self.method == Method::HEAD {
            refuse::leave_body_away(&mut response);
        }
        quota::tell(response.headers_mut(), self.quota.as_ref());
        if close && self.version < Version::HTTP_2 {
            refuse::close(&mut response);
        }
        self.record.answered(response.status().as_u16(), clock::mono());
        response
    }

    /// Says that its connection is no longer one of requests.
    pub(super) fn open(&self) {
        if let Some(input) = &self.origin.input {
            input.open();
        }
    }
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
