//! [`SessionLayer`]: commits every request's session in one place, as Express does.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::header::COOKIE;
use axum::http::uri::Scheme;
use axum::http::{HeaderMap, HeaderName, Request};
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::commit;
use crate::commit::decision::Trigger;
use crate::commit::guard::SessionGuard;
use crate::config::SessionConfig;
use crate::cookie::header::cookie_values;
use crate::error::SessionError;
use crate::http::request_session::RequestSession;
use crate::load::load;
use crate::request::{RequestLine, is_within, original};
use crate::session::Session;
use crate::session::stage::CommitState;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Commits each request's session after the handler has returned its response, and sets the cookie. With the
/// layer, handlers need neither [`commit`](Session::commit) nor a guard.
///
/// The options `rolling`, `resave` and `save_uninitialized` then apply to every request, even if its handler
/// does not extract the session. Where these options do not need it, a session that no handler extracts is
/// not loaded. A handler may still commit the session itself; the response then sets one cookie all the same.
///
/// # Server errors and failed commits
/// The layer commits nothing when the handler's response has a 5xx status, unless
/// [`save_on_server_error`](Self::save_on_server_error) is on.
///
/// When the commit fails, an error takes the place of the handler's response: 503 when the store is
/// unavailable, else the status that [`SessionError`](crate::SessionError) documents. Its body tells nothing
/// about the session.
///
/// # Example
/// The layer gets the same configuration as the application state:
///
/// ```
/// use axum::extract::FromRef;
/// use axum::routing::get;
/// use axum::Router;
/// use sessile::{Session, SessionConfig, SessionError, SessionLayer};
///
/// #[derive(Clone, FromRef)]
/// struct App {
///     sessions: SessionConfig,
/// }
///
/// async fn count(session: Session) -> Result<String, SessionError> {
///     let views = session.update("views", |views: Option<u64>| Some(views.unwrap_or(0) + 1))?;
///     Ok(format!("{views:?}"))
/// }
///
/// # fn main() -> Result<(), sessile::ConfigError> {
/// let sessions = SessionConfig::new("a secret of at least 32 bytes, from the environment")?;
/// let app: Router = Router::new()
///     .route("/", get(count))
///     .layer(SessionLayer::new(sessions.clone()))
///     .with_state(App { sessions });
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SessionLayer {
    config: SessionConfig,
    on_server_error: OnServerError,
}

/// What the layer does with the session when the handler's response has a 5xx status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnServerError {
    Skip,
    Save,
}

impl SessionLayer {
    /// Makes a layer that commits the sessions of this configuration.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        Self { config, on_server_error: OnServerError::Skip }
    }

    /// Whether the session is also committed when the handler's response has a 5xx status (Express always
    /// does so). Default: `false`, so that a handler that failed halfway leaves the stored session as it was.
    #[must_use]
    pub fn save_on_server_error(mut self, save: bool) -> Self {
        self.on_server_error = if save { OnServerError::Save } else { OnServerError::Skip };
        self
    }

    /// Keeps what is needed to load the session after the handler has run, if the options need the session
    /// even where the handler does not extract it.
    fn unloaded<B>(&self, request: &Request<B>) -> Option<Box<UnloadedRequest>> {
        let config = self.config.inner();
        let headers = request.headers();
        // A signed cookie counts as an existing session, because only a load would tell whether the store has
        // it.
        let needed = config.policy.resave
            || config.policy.rolling
            || config.policy.save_uninitialized
                && is_within(original(request.uri(), request.extensions()).path(), &config.cookie.path)
                && !cookie_values(headers, &config.cookie.name)
                    .any(|value| config.signer.verify(value).is_some());
        if !needed {
            return None;
        }
        let mut kept = HeaderMap::new();
        for name in [COOKIE, FORWARDED_PROTO] {
            for line in headers.get_all(&name) {
                kept.append(name.clone(), line.clone());
            }
        }
        let line = RequestLine::new(request.method(), request.uri(), request.extensions());
        Some(Box::new(UnloadedRequest { headers: kept, scheme: request.uri().scheme().cloned(), line }))
    }

    /// What the layer does after the handler has returned its response; `None`, when there is nothing to do.
    fn after_response(
        &self,
        request_session: &RequestSession,
        unloaded: Option<Box<UnloadedRequest>>,
        failed: bool,
    ) -> Option<AfterResponse> {
        let session = request_session.get(&self.config);
        if failed && self.on_server_error == OnServerError::Skip {
            return session.map(AfterResponse::GiveUp);
        }
        session.map(AfterResponse::Commit).or(unloaded.map(AfterResponse::Load))
    }
}

/// What the layer does after the handler has returned its response.
enum AfterResponse {
    /// The changes stay uncommitted after a server error.
    GiveUp(Session),
    Commit(Session),
    /// No handler has extracted the session, but the options need it: it is loaded and committed.
    Load(Box<UnloadedRequest>),
}

/// Commits the session, and applies the guard to the response.
async fn commit_and_apply(session: Session, response: Response) -> Response {
    apply(session.commit().await, response)
}

/// Applies the guard to the response. An error becomes the response.
fn apply(committed: Result<SessionGuard, SessionError>, mut response: Response) -> Response {
    match committed {
        Ok(guard) => {
            guard.apply(response.headers_mut());
            response
        }
        Err(error) => error.into_response(),
    }
}

/// What is needed to load the session of a request that was given to the handler.
struct UnloadedRequest {
    /// The headers that loading reads: `Cookie` and `X-Forwarded-Proto`.
    headers: HeaderMap,
    scheme: Option<Scheme>,
    line: RequestLine,
}

impl UnloadedRequest {
    /// Loads and commits the session, and applies the guard to the response.
    async fn commit(self, config: SessionConfig, response: Response) -> Response {
        match load(config, &self.headers, self.scheme.as_ref(), self.line).await {
            Ok(session) => commit_and_apply(session, response).await,
            Err(error) => error.into_response(),
        }
    }
}

impl Session {
    /// Gives the uncommitted changes up. The response still gets the cookie that earlier commits of this
    /// request decided on.
    fn give_up(&self, response: Response) -> Response {
        let mut state = self.state();
        if state.commit_state != CommitState::Done {
            state.commit_state = CommitState::Failed;
        }
        match state.cookie_action {
            None => response,
            Some(_) => apply(commit::guard(self.inner(), &mut state, None), response),
        }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { layer: self.clone(), inner }
    }
}

/// The service that [`SessionLayer`] puts around another service.
#[derive(Clone)]
pub struct SessionService<S> {
    layer: SessionLayer,
    inner: S,
}

impl<S, B> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response: IntoResponse, Future: Send + 'static>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = SessionFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let layer = self.layer.clone();
        let unloaded = layer.unloaded(&request);
        let request_session = request.extensions_mut().get_or_insert_default::<RequestSession>().clone();
        let response = self.inner.call(request);
        SessionFuture { step: Step::Respond { response, layer, request_session, unloaded } }
    }
}

pin_project! {
    /// The future of a [`SessionService`]'s response.
    pub struct SessionFuture<F> {
        #[pin]
        step: Step<F>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<F> {
        // The inner service is making the response.
        Respond {
            #[pin]
            response: F,
            layer: SessionLayer,
            request_session: RequestSession,
            unloaded: Option<Box<UnloadedRequest>>,
        },
        // The session is being committed. Boxed to keep this future small: a commit to a store in memory
        // rarely needs it.
        Commit { response: Pin<Box<dyn Future<Output = Response> + Send>> },
    }
}

impl<F, R, E> Future for SessionFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: IntoResponse,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        loop {
            let committing: Pin<Box<dyn Future<Output = Response> + Send>> = match step.as_mut().project() {
                StepProjection::Commit { response } => return response.as_mut().poll(cx).map(Ok),
                StepProjection::Respond { response, layer, request_session, unloaded } => {
                    let response = ready!(response.poll(cx))?.into_response();
                    let failed = response.status().is_server_error();
                    match layer.after_response(request_session, unloaded.take(), failed) {
                        None => return Poll::Ready(Ok(response)),
                        Some(AfterResponse::GiveUp(session)) => {
                            return Poll::Ready(Ok(session.give_up(response)));
                        }
                        Some(AfterResponse::Commit(session)) => {
                            match commit::try_commit_now(&session, Trigger::Commit) {
                                Some(committed) => return Poll::Ready(Ok(apply(committed, response))),
                                None => Box::pin(commit_and_apply(session, response)),
                            }
                        }
                        Some(AfterResponse::Load(unloaded)) => {
                            Box::pin(unloaded.commit(layer.config.clone(), response))
                        }
                    }
                }
            };
            step.set(Step::Commit { response: committing });
        }
    }
}

impl<F> fmt::Debug for SessionFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionFuture").finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for SessionService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService").field("layer", &self.layer).finish_non_exhaustive()
    }
}
