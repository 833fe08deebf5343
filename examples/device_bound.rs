//! Device-bound sessions: a copied cookie is of use for ten minutes at most, because only the browser that
//! logged in can renew what goes with it. The page says whether the browser has bound the session.
//!
//! Browsers do this over https only, so the example makes a certificate for `localhost`. Chrome on Windows
//! needs nothing else but your consent to it. For Chromium on Linux, the example prints the switches.
//!
//! ```sh
//! cargo add sessile --features dbsc
//! cargo add tracing-subscriber
//! cargo add axum --features macros
//! cargo add base64 rcgen ring
//! cargo add maud --features axum
//! cargo add tokio --features full
//! cargo add tokio-rustls
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::serve::Listener;
use axum::{Json, Router};
use base64::Engine as _;
use maud::html;
use rcgen::PublicKeyData as _;
use ring::digest::{SHA256, digest};
use sessile::dbsc::{Binding, Dbsc, Missing};
use sessile::{Session, SessionConfig, SessionError, SessionGuard};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
}

/// What the page says of the browser.
fn about(session: &Session) -> &'static str {
    match session.binding() {
        Binding::Bound { .. } => "bound",
        // The first page after the login comes before the browser has registered.
        Binding::Pending => "pending",
        Binding::Missing { .. } => "missing",
        _ => "unbound",
    }
}

async fn home(session: Session) -> Result<impl IntoResponse, SessionError> {
    let notes = session.take_flash::<String>("note")?;
    let page = html! {
        title { "Device-bound" }
        h1 { (if session.is_logged_in() { "Hello" } else { "Log in" }) }
        p { "This session is " span id="binding" { (about(&session)) } "." }
        @for note in notes { p.note { (note) } }
        @if session.is_logged_in() {
            form method="post" action="/transfer" { button id="transfer" { "Transfer" } }
            form method="post" action="/logout" { button id="logout" { "Log out" } }
        } @else {
            form method="post" action="/login" { button id="login" { "Log in as Ada" } }
        }
    };
    Ok((session.commit().await?, Html(page.into_string())))
}

/// What a script of the page may ask.
async fn status(session: Session) -> Json<(bool, &'static str)> {
    Json((session.is_logged_in(), about(&session)))
}

async fn log_in(session: Session) -> Result<(SessionGuard, Redirect), SessionError> {
    session.log_in("ada")?; // The example `login` checks a password before.
    session.bind_device();
    Ok((session.commit().await?, Redirect::to("/")))
}

/// Something that matters: it takes a proof that is at most two seconds old. A minute would do; two seconds
/// let you see it.
async fn transfer(session: Session) -> Result<Response, SessionError> {
    let note = match session.binding() {
        Binding::Bound { proven, .. } if proven.elapsed().is_ok_and(|ago| ago < Duration::from_secs(2)) => {
            "Transferred."
        }
        Binding::Bound { .. } => return Ok(session.prove_device()),
        _ => "Your browser proves nothing: we would ask for the password now.",
    };
    session.flash("note", note)?;
    Ok((session.commit().await?, Redirect::to("/")).into_response())
}

async fn log_out(session: Session) -> Result<(SessionGuard, Redirect), SessionError> {
    session.log_out();
    Ok((session.commit().await?, Redirect::to("/")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let sessions = SessionConfig::hardened(sessile::Secrets::random())
        .dbsc(Dbsc::new("/auth/dbsc").when_missing(Missing::Anonymous))
        .build()?;
    let app = Router::new()
        .route("/", get(home))
        .route("/status", get(status))
        .route("/login", post(log_in))
        .route("/transfer", post(transfer))
        .route("/logout", post(log_out))
        .merge(sessions.dbsc_routes())
        .with_state(App { sessions });

    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = digest(&SHA256, &certified.signing_key.subject_public_key_info());
    let key = base64::engine::general_purpose::STANDARD.encode(key);
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], certified.signing_key.into())?;
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".into());
    let tcp = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = tcp.local_addr()?;
    println!("Chromium on Linux: chromium --user-data-dir=/tmp/device_bound \\");
    println!(
        "  --enable-features=DeviceBoundSessions,EnableBoundSessionCredentialsSoftwareKeysForManualTesting \\"
    );
    println!("  --ignore-certificate-errors-spki-list={key}");
    println!("listening on https://localhost:{} with the key {key}", address.port());
    axum::serve(Tls { tcp, acceptor: Arc::new(tls).into() }, app).await?;
    Ok(())
}

/// TLS for a demonstration: the handshakes come one after the other. In production use a proxy, or a crate
/// such as `axum-server`.
struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.tcp).await;
            let handshake = self.acceptor.accept(stream);
            if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_secs(2), handshake).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
