//! An application that can be asked in process: axum's and actix-web's behind one trait, so that one loop
//! measures both.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Service as ActixService, ServiceResponse};
use axum::Router;
use axum::body::Body;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderValue, Request, Response, Uri};
use tokio::task::unconstrained;
use tower_service::Service as _;

pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One kind of request.
#[derive(Debug, Clone)]
pub struct Ask {
    pub path: String,
    pub cookie: Option<String>,
}

impl Ask {
    pub fn new(path: &str, cookie: Option<&str>) -> Self {
        Self { path: path.into(), cookie: cookie.map(Into::into) }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    pub set_cookies: Vec<String>,
}

impl Answer {
    /// The `Cookie` header of a browser that got this answer; `None` when no cookie with a value was set.
    pub fn cookie(&self) -> Option<String> {
        let pairs = self.set_cookies.iter().filter_map(|line| line.split(';').next());
        let pairs: Vec<_> = pairs.filter(|pair| !pair.ends_with('=')).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

pub trait App {
    /// Asks once and reads the answer.
    fn ask<'a>(&'a self, ask: &'a Ask) -> Local<'a, Answer>;

    /// Asks `times` times, one after the other, going round through these requests.
    ///
    /// The loop is in here, so that what is boxed and dispatched for the sake of the trait is so once for all
    /// of it. Tokio's budget for cooperation is lifted, or every hundredth request would pay for a detour
    /// that a server's does not make.
    fn drive<'a>(&'a self, asks: &'a [Ask], times: usize) -> Local<'a, ()>;
}

pub struct Axum(pub Router);

impl Axum {
    fn request(uri: &Uri, cookie: Option<&HeaderValue>) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri.clone();
        if let Some(cookie) = cookie {
            request.headers_mut().insert(COOKIE, cookie.clone());
        }
        request
    }

    fn parts(ask: &Ask) -> (Uri, Option<HeaderValue>) {
        let cookie = ask.cookie.as_deref().map(|cookie| cookie.parse().expect("a header value"));
        (ask.path.parse().expect("a path"), cookie)
    }
}

impl App for Axum {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Local<'a, Answer> {
        let (uri, cookie) = Self::parts(ask);
        let mut router = self.0.clone();
        Box::pin(async move {
            let response: Result<_, Infallible> = router.call(Self::request(&uri, cookie.as_ref())).await;
            let (parts, body) = response.expect("infallible").into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
            let lines = parts.headers.get_all(SET_COOKIE).iter();
            Answer {
                status: parts.status.as_u16(),
                body: String::from_utf8_lossy(&body).into(),
                set_cookies: lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into()).collect(),
            }
        })
    }

    fn drive<'a>(&'a self, asks: &'a [Ask], times: usize) -> Local<'a, ()> {
        let parts: Vec<_> = asks.iter().map(Self::parts).collect();
        let mut router = self.0.clone();
        Box::pin(unconstrained(async move {
            for (uri, cookie) in parts.iter().cycle().take(times) {
                let response: Result<Response<Body>, Infallible> =
                    router.call(Self::request(uri, cookie.as_ref())).await;
                let status = response.expect("infallible").status();
                assert!(status.is_success(), "{uri} answered {status}");
            }
        }))
    }
}

pub struct Actix<S>(pub S);

impl<S> Actix<S> {
    fn request(
        uri: &actix_http::Uri,
        cookie: Option<&actix_http::header::HeaderValue>,
    ) -> actix_http::Request {
        let mut request = actix_http::Request::new();
        request.head_mut().uri = uri.clone();
        if let Some(cookie) = cookie {
            request.headers_mut().insert(actix_http::header::COOKIE, cookie.clone());
        }
        request
    }

    fn parts(ask: &Ask) -> (actix_http::Uri, Option<actix_http::header::HeaderValue>) {
        let cookie = ask.cookie.as_deref().map(|cookie| cookie.parse().expect("a header value"));
        (ask.path.parse().expect("a path"), cookie)
    }
}

impl<S, B> App for Actix<S>
where
    S: ActixService<actix_http::Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody + 'static,
{
    fn ask<'a>(&'a self, ask: &'a Ask) -> Local<'a, Answer> {
        let (uri, cookie) = Self::parts(ask);
        Box::pin(async move {
            let response = self.0.call(Self::request(&uri, cookie.as_ref())).await.expect("a response");
            let status = response.status().as_u16();
            let lines = response.headers().get_all(actix_http::header::SET_COOKIE);
            let set_cookies = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into()).collect();
            let body: BoxBody = response.into_body().boxed();
            let body = to_bytes(body).await.expect("a body");
            Answer { status, body: String::from_utf8_lossy(&body).into(), set_cookies }
        })
    }

    fn drive<'a>(&'a self, asks: &'a [Ask], times: usize) -> Local<'a, ()> {
        let parts: Vec<_> = asks.iter().map(Self::parts).collect();
        Box::pin(unconstrained(async move {
            for (uri, cookie) in parts.iter().cycle().take(times) {
                let response = self.0.call(Self::request(uri, cookie.as_ref())).await.expect("a response");
                let status = response.status();
                assert!(status.is_success(), "{uri} answered {status}");
            }
        }))
    }
}
