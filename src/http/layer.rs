//! [`SessionLayer`]: commits every request's session in one place, as Express does.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::config::SessionConfig;
use crate::cookie::header::cookie_values;
use crate::http::request_end::{Extent, apply, end_all, try_end_now};
use crate::http::request_session::RequestSession;
use crate::http::unloaded_request::UnloadedRequest;
use crate::request::{is_within, original};
use crate::session::Session;

/// Commits each request's sessions after the handler has returned its response, and sets the cookies. With
/// the layer, handlers need neither [`commit`](Session::commit) nor a guard.
///
/// The layer commits every session that the request has extracted, whatever its configuration is (see
/// [`SessionConfig::extract`]). For a request that has extracted none, the layer's own configuration counts:
/// its options `rolling`, `resave` and `save_uninitialized` apply to that request as well. Where these
/// options do not need the session, it is not loaded. With `save_uninitialized(true)`, the default, each
/// request without a cookie then stores a session, also one for an image or from a load balancer: put such
/// routes outside of the layer, or use `save_uninitialized(false)`.
///
/// A handler may still commit a session itself; the response then sets one cookie all the same. Where the
/// sessions of two configurations would set a cookie of the same name, path and domain, only that of the
/// session extracted later is sent, and a warning is logged.
///
/// # Failed requests
/// The layer stores nothing of what the request did when the response has a 5xx status, or 408, with which a
/// handler is answered that a timeout has cut off. [`save_on_server_error`](Self::save_on_server_error)
/// changes that.
///
/// A session that the request has ended is ended in any case: after [`destroy`](Session::destroy) or
/// [`regenerate`](Session::regenerate) the old record is removed and the cookie is expired, so that no
/// failure keeps a user logged in. What else the request did, before or after it, is not stored.
/// [`cycle_id`](Session::cycle_id) ends no session.
///
/// Where the inner service returns an error instead of a response, nothing at all is committed. Put layers
/// that make a response of such an error inside this one.
///
/// # Failed commits
/// When a commit fails, an error takes the place of the handler's response: 503 when the store is
/// unavailable, else the status that [`SessionError`](crate::SessionError) documents. Its body tells nothing
/// about the session.
///
/// # Header arrays
/// axum replaces the headers of a name by an array of headers (`[(SET_COOKIE, "theme=dark")]`). The layer
/// adds its headers after the handler's, so such arrays take no session cookie away: see [the
/// guard](crate::SessionGuard#order) for handlers that commit themselves.
///
/// # The layer and the state
/// The layer commits; the extractor [`Session`] finds its configuration in the *state*. So the same
/// configuration goes to both, and a router without `.with_state(..)` does not compile: the compiler then
/// says that `Router<SessionConfig>: Service` or `Handler<_, ()>` is not satisfied. A program without other
/// state needs no type of its own:
///
/// ```
/// # use axum::Router;
/// # use axum::routing::get;
/// # use sessile::{Session, SessionConfig, SessionLayer};
/// # async fn count(session: Session) -> String { session.len().to_string() }
/// # async fn style() -> &'static str { "" }
/// # fn main() -> Result<(), sessile::ConfigError> {
/// let sessions = SessionConfig::new("a secret of at least 32 bytes, from the environment")?;
/// let app: Router = Router::new()
///     .route("/", get(count))
///     .layer(SessionLayer::new(sessions.clone()))
///     .route("/style.css", get(style)) // Added after the layer: outside of it.
///     .with_state(sessions);
/// # Ok(())
/// # }
/// ```
///
/// # Static files and probes
/// Put them outside of the layer, as above. With `rolling(true)` each request inside gets a cookie, which
/// takes `public` and `s-maxage` from the `Cache-Control` of images and scripts; with
/// `save_uninitialized(true)` each request without a cookie leaves a record.
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

/// What the layer does with the sessions when the response has a 5xx status or is a 408.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnServerError {
    Skip,
    Save,
}

impl SessionLayer {
    /// Makes a layer. The configuration counts for requests that extract no session.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        Self { config, on_server_error: OnServerError::Skip }
    }

    /// Whether everything is also committed when the response has a 5xx status or is a 408 (Express always
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
        let needed = config.policy.resave
            || config.policy.rolling
            // The commit stores an untouched session for the same requests: see `decide`.
            || config.policy.save_uninitialized
                && cookie_values(request.headers(), &config.cookie.name).next().is_none()
                && is_within(original(request.uri(), request.extensions()).path(), &config.cookie.path);
        needed.then(|| Box::new(UnloadedRequest::of(request, &self.config)))
    }

    /// What the layer does after the handler has returned a response with this status; `None`, when there is
    /// nothing to do.
    fn after_response(
        &self,
        request_session: &RequestSession,
        unloaded: Option<Box<UnloadedRequest>>,
        status: StatusCode,
    ) -> Option<AfterResponse> {
        // 408 is how a handler that a timeout has cut off is answered.
        let failed = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
        let extent = match self.on_server_error {
            OnServerError::Skip if failed => Extent::Ending,
            OnServerError::Skip | OnServerError::Save => Extent::Everything,
        };
        match request_session.first() {
            Some(first) => Some(AfterResponse::Commit(first.clone(), extent)),
            None if extent == Extent::Ending => None,
            None => unloaded.map(AfterResponse::Load),
        }
    }
}

/// What the layer does after the handler has returned its response.
enum AfterResponse {
    /// The sessions that were extracted, of which this is the first, are committed.
    Commit(Session, Extent),
    /// No handler has extracted a session, but the options need the layer's own: it is loaded and committed.
    Load(Box<UnloadedRequest>),
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
                    match layer.after_response(request_session, unloaded.take(), response.status()) {
                        None => return Poll::Ready(Ok(response)),
                        Some(AfterResponse::Commit(first, extent)) => match try_end_now(&first, extent) {
                            Some(ended) => return Poll::Ready(Ok(apply(ended, response))),
                            None => Box::pin(end_all(first, extent, response)),
                        },
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
