//! [`SessionLayer`]: the commit in one place, for those who want Express' habit.

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
use crate::session::state::CommitState;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Commits each request's session after the handler answered, and sets the cookie: install it once, and handlers need
/// neither [`commit`](Session::commit) nor a guard.
///
/// `rolling`, `resave` and `save_uninitialized` then hold for every request, whether or not its handler extracts the
/// session. Apart from them nothing is loaded that nobody asked for. A handler may still commit by itself; there is one
/// cookie all the same.
///
/// Where the handler answers with a 5xx status, nothing is committed, unless
/// [`save_on_server_error`](Self::save_on_server_error) says so. A failed commit takes the place of the handler's
/// answer: 503 when the store is unavailable, else what [`SessionError`](crate::SessionError) says, with an opaque body.
///
/// The configuration is the same as in the app state:
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnServerError {
    Skip,
    Save,
}

impl SessionLayer {
    /// A layer over this configuration.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        Self { config, on_server_error: OnServerError::Skip }
    }

    /// Commits also where the handler answers with a 5xx status. Default: `false`.
    #[must_use]
    pub fn save_on_server_error(mut self, save: bool) -> Self {
        self.on_server_error = if save { OnServerError::Save } else { OnServerError::Skip };
        self
    }

    /// Takes along what it needs to know of a request whose handler does not ask for the session.
    fn unloaded<B>(&self, request: &Request<B>) -> Option<Box<UnloadedRequest>> {
        let config = self.config.inner();
        let headers = request.headers();
        let wanted = config.policy.resave
            || config.policy.rolling
            // A cookie that verifies names a session that is not new, as far as can be told without loading it.
            || config.policy.save_uninitialized
                && is_within(original(request.uri(), request.extensions()).path(), &config.cookie.path)
                && !cookie_values(headers, &config.cookie.name).any(|value| config.signer.verify(value).is_some());
        if !wanted {
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

    /// What is left to do once the handler has answered; `None`: nothing.
    fn after_response(
        &self,
        attached: &RequestSession,
        unloaded: Option<Box<UnloadedRequest>>,
        failed: bool,
    ) -> Option<AfterResponse> {
        let session = attached.get(&self.config);
        if failed && self.on_server_error == OnServerError::Skip {
            return session.map(AfterResponse::GiveUp);
        }
        session.map(AfterResponse::Commit).or(unloaded.map(AfterResponse::Load))
    }
}

enum AfterResponse {
    GiveUp(Session),
    Commit(Session),
    /// Nobody asked for the session, but the options do.
    Load(Box<UnloadedRequest>),
}

async fn committed(session: Session, response: Response) -> Response {
    guarded(session.commit().await, response)
}

fn guarded(committed: Result<SessionGuard, SessionError>, mut response: Response) -> Response {
    match committed {
        Ok(guard) => {
            guard.apply(response.headers_mut());
            response
        }
        Err(error) => error.into_response(),
    }
}

struct UnloadedRequest {
    headers: HeaderMap,
    scheme: Option<Scheme>,
    line: RequestLine,
}

impl UnloadedRequest {
    async fn commit(self, config: SessionConfig, response: Response) -> Response {
        match load(config, &self.headers, self.scheme.as_ref(), self.line).await {
            Ok(session) => committed(session, response).await,
            Err(error) => error.into_response(),
        }
    }
}

impl Session {
    /// Leaves uncommitted changes where they are, with the cookie of what was committed before.
    fn give_up(&self, response: Response) -> Response {
        let mut state = self.state();
        if state.commit_state != CommitState::Done {
            state.commit_state = CommitState::Failed;
        }
        match state.cookie_action {
            None => response,
            Some(_) => guarded(commit::guard(self.inner(), &mut state, None), response),
        }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { layer: self.clone(), inner }
    }
}

/// The service that [`SessionLayer`] makes.
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
        let attached = request.extensions_mut().get_or_insert_default::<RequestSession>().clone();
        let answer = self.inner.call(request);
        SessionFuture { step: Step::Answer { answer, layer, attached, unloaded } }
    }
}

pin_project! {
    /// The answer of a [`SessionService`].
    pub struct SessionFuture<F> {
        #[pin]
        step: Step<F>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<F> {
        Answer {
            #[pin]
            answer: F,
            layer: SessionLayer,
            attached: RequestSession,
            unloaded: Option<Box<UnloadedRequest>>,
        },
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
                StepProjection::Answer { answer, layer, attached, unloaded } => {
                    let response = ready!(answer.poll(cx))?.into_response();
                    let failed = response.status().is_server_error();
                    match layer.after_response(attached, unloaded.take(), failed) {
                        None => return Poll::Ready(Ok(response)),
                        Some(AfterResponse::GiveUp(session)) => {
                            return Poll::Ready(Ok(session.give_up(response)));
                        }
                        Some(AfterResponse::Commit(session)) => {
                            match commit::try_commit_now(&session, Trigger::Commit) {
                                Some(committed) => return Poll::Ready(Ok(guarded(committed, response))),
                                None => Box::pin(committed(session, response)),
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
