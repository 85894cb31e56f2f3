//! The only room that talks to servers: one request, its patience, and stopping it.

use std::{
    convert::Infallible,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use ureq::{
    Agent, Body, Proxy, Timeout,
    http::{Response, StatusCode, Uri, header},
    tls::{RootCerts, TlsConfig},
};

use crate::error::{Error, ErrorKind, Result};

/// Most times a server may send a request on to another address.
const MAX_REDIRECTS: u32 = 5;

/// Gives the value of an environment variable.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// How long to wait for servers, how often to try again, and by which way to go.
///
/// There is no limit on a download as a whole: as long as bytes come, it goes on.
#[derive(Clone)]
pub struct Network {
    /// Longest wait for a name's address, and again for a connection.
    pub connect: Duration,
    /// Longest silence of a server that is connected.
    pub stall: Duration,
    /// How often to try again; counted afresh whenever something came.
    pub retries: u32,
    /// Wait before trying again; doubles while nothing comes.
    pub pause: Duration,
    /// Where `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are looked up.
    pub variables: Variables,
}

impl Default for Network {
    /// For home and office connections, with this process's proxy variables.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            retries: 3,
            pause: Duration::from_secs(1),
            variables: Arc::new(|name| std::env::var(name).ok()),
        }
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("connect", &self.connect)
            .field("stall", &self.stall)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

/// Why a request did not succeed.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) error: Error,
    /// Whether another attempt may do better.
    pub(super) passing: bool,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self { error, passing: false }
    }
}

/// Ends a download from another thread, whatever it waits for.
pub(super) struct Stop {
    /// Dropped to stop; nothing is ever sent.
    open: Mutex<Option<Sender<Infallible>>>,
    closed: Receiver<Infallible>,
    /// The agent of the present request, whose socket is to be shut down.
    agent: Mutex<Option<Agent>>,
}

impl Stop {
    pub(super) fn new() -> Self {
        let (open, closed) = bounded(0);
        Self { open: Mutex::new(Some(open)), closed, agent: Mutex::default() }
    }

    /// Stops: reads in progress fail and waits end.
    pub(super) fn stop(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(agent) = agent {
            agent.shutdown();
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// # Errors
    /// [`ErrorKind::Cancelled`] once it was stopped.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.is_stopped() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// Waits for `time`.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] as soon as it is stopped.
    pub(super) fn wait(&self, time: Duration) -> Result<()> {
        // Nothing is ever sent, so this ends by time or by the end of the channel.
        let _ = self.closed.recv_timeout(time);
        self.go_on()
    }

    /// Shuts `agent` down when stopped.
    fn watch(&self, agent: &Agent) -> Result<()> {
        *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = Some(agent.clone());
        // Whoever stopped before this line did not see the agent, but is seen here.
        self.go_on()
    }
}

/// What to ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) url: &'a str,
    /// First byte wanted.
    pub(super) from: u64,
    /// Only if it is still this version; otherwise from the first byte.
    pub(super) tag: Option<&'a str>,
}

/// A server's answer before its body is read.
pub(super) struct Answer<'a> {
    response: Response<Body>,
    way: Way,
    stop: &'a Stop,
}

/// To whom a request goes; for messages.
#[derive(Debug, Clone)]
struct Way {
    host: String,
    proxy: Option<String>,
    connect: Duration,
    stall: Duration,
}

/// Sends `request` and waits for the head of the answer.
///
/// # Errors
/// [`ErrorKind::Network`] when nobody answers; [`ErrorKind::Cancelled`] as soon as `stop` says so;
/// [`ErrorKind::Invalid`] for a proxy variable that makes no sense.
pub(super) fn ask<'a>(
    network: &Network,
    stop: &'a Stop,
    request: Request<'_>,
) -> Result<Answer<'a>, Trouble> {
    let uri: Uri = request.url.parse().map_err(|e| {
        Error::new(ErrorKind::Invalid, format!("“{}” is no address", request.url)).caused_by(e)
    })?;
    let proxy = proxy(network, &uri)?;
    let way = Way {
        host: uri.host().unwrap_or(request.url).to_owned(),
        proxy: proxy.as_ref().map(|proxy| format!("{}:{}", proxy.host(), proxy.port())),
        connect: network.connect,
        stall: network.stall,
    };
    let agent = agent(network, uri.scheme_str() == Some("https"), proxy);
    stop.watch(&agent)?;

    let mut ask = agent.get(uri).header(header::ACCEPT_ENCODING, "identity");
    if request.from > 0 {
        ask = ask.header(header::RANGE, format!("bytes={}-", request.from));
        if let Some(tag) = request.tag {
            ask = ask.header(header::IF_RANGE, tag);
        }
    }
    // Looking up a name and connecting cannot be interrupted, so another thread waits for them. It
    // holds nothing but its socket and ends by the time-outs at the latest.
    let (send, answered) = bounded(1);
    thread::Builder::new()
        .name("model connection".into())
        // Whoever asked may be gone.
        .spawn(move || drop(send.send(ask.call())))
        .map_err(|e| Error::new(ErrorKind::Internal, "No thread can be started").caused_by(e))?;
    let response = select! {
        recv(answered) -> response => response,
        recv(stop.closed) -> _ => return Err(Error::cancelled().into()),
    };
    stop.go_on()?;
    match response {
        Ok(Ok(response)) => Ok(Answer { response, way, stop }),
        Ok(Err(error)) => Err(way.trouble(error)),
        Err(gone) => {
            Err(Error::new(ErrorKind::Internal, "The request was lost").caused_by(gone).into())
        }
    }
}

impl<'a> Answer<'a> {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn host(&self) -> &str {
        &self.way.host
    }

    /// Length of the body, where the server tells.
    pub(super) fn body_bytes(&self) -> Option<u64> {
        self.response.body().content_length()
    }

    /// First byte and whole length of what a partial answer brings.
    pub(super) fn range(&self) -> Option<(u64, Option<u64>)> {
        let range = self.header(header::CONTENT_RANGE)?.strip_prefix("bytes ")?;
        let (span, whole) = range.split_once('/')?;
        let (first, _) = span.split_once('-')?;
        Some((first.trim().parse().ok()?, whole.trim().parse().ok()))
    }

    /// The version that the server gives the file, if it can be relied on byte for byte.
    pub(super) fn tag(&self) -> Option<String> {
        let tag = self.header(header::ETAG)?;
        (tag.starts_with('"') && tag.len() < 1000).then(|| tag.to_owned())
    }

    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Reads the body.
    pub(super) fn into_reader(self) -> BodyReader<'a> {
        let Self { response, way, stop } = self;
        BodyReader { body: response.into_body().into_reader(), way, stop }
    }
}

/// The body of an answer.
pub(super) struct BodyReader<'a> {
    body: ureq::BodyReader<'static>,
    way: Way,
    stop: &'a Stop,
}

impl BodyReader<'_> {
    /// The next bytes; 0 at the end.
    ///
    /// # Errors
    /// As [`ask`].
    pub(super) fn read(&mut self, block: &mut [u8]) -> Result<usize, Trouble> {
        let read = self.body.read(block);
        // A socket that was shut down may look like the end of the body.
        self.stop.go_on()?;
        read.map_err(|e| self.way.trouble(e.into()))
    }
}

fn agent(network: &Network, https_only: bool, proxy: Option<Proxy>) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .https_only(https_only)
        .http_status_as_error(false)
        .max_redirects(MAX_REDIRECTS)
        .max_idle_connections(0)
        .timeout_resolve(Some(network.connect))
        .timeout_connect(Some(network.connect))
        .timeout_per_read(Some(network.stall))
        .timeout_per_write(Some(network.stall))
        .proxy(proxy)
        .tls_config(tls)
        .user_agent(concat!("stemhive/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// The proxy for `uri` as the usual variables say, in lower or upper case: the one of its scheme,
/// else `ALL_PROXY`; none for hosts under `NO_PROXY`.
fn proxy(network: &Network, uri: &Uri) -> Result<Option<Proxy>> {
    let look = |name: &str| {
        let value = (network.variables)(&name.to_ascii_lowercase())
            .or_else(|| (network.variables)(name))
            .unwrap_or_default();
        (!value.trim().is_empty()).then(|| value.trim().to_owned())
    };
    let of_scheme = match uri.scheme_str() {
        Some("https") => "HTTPS_PROXY",
        _ => "HTTP_PROXY",
    };
    let chosen = [of_scheme, "ALL_PROXY"].into_iter().find_map(|name| Some((name, look(name)?)));
    let Some((name, value)) = chosen else {
        return Ok(None);
    };
    let invalid = |cause: ureq::Error| {
        // The value may hold a password.
        Error::new(ErrorKind::Invalid, format!("{name} does not name a proxy that can be used"))
            .caused_by(cause)
            .advice(format!("Set {name} to an address like http://proxy.example.com:8080"))
    };
    let parsed = Proxy::new(&value).map_err(invalid)?;
    let mut proxy = Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    if let Some(user) = parsed.username() {
        proxy = proxy.username(user);
    }
    if let Some(password) = parsed.password() {
        proxy = proxy.password(password);
    }
    for host in look("NO_PROXY").unwrap_or_default().split(',').map(str::trim) {
        // A name stands for itself and all below it, as everywhere else.
        let host = host.trim_start_matches("*.").trim_start_matches('.');
        match host {
            "" => {}
            "*" => proxy = proxy.no_proxy("*"),
            host => proxy = proxy.no_proxy(host).no_proxy(&format!(".{host}")),
        }
    }
    let proxy = proxy.build().map_err(invalid)?;
    Ok((!proxy.is_no_proxy(uri)).then_some(proxy))
}

impl Way {
    fn trouble(&self, error: ureq::Error) -> Trouble {
        use ureq::Error as E;
        let host = &self.host;
        let secs = |time: Duration| time.as_secs_f64();
        let (passing, what) = match &error {
            E::HostNotFound => (true, format!("The server {host} cannot be found")),
            E::Io(e) => (true, format!("The connection to {host} failed: {e}")),
            E::Timeout(Timeout::PerRead | Timeout::PerWrite) => {
                (true, format!("{host} was silent for {} s", secs(self.stall)))
            }
            E::Timeout(_) => {
                (true, format!("{host} could not be reached within {} s", secs(self.connect)))
            }
            E::ConnectProxyFailed(why) => {
                (false, format!("The proxy does not connect to {host}: {why}"))
            }
            E::Tls(_) | E::Rustls(_) => {
                (false, format!("There is no secure connection to {host}: {error}"))
            }
            E::TooManyRedirects => (false, format!("{host} sends from one address to the next")),
            E::RequireHttpsOnly(_) => (false, format!("{host} sends to an address without https")),
            E::Protocol(_) | E::LargeResponseHeader(..) | E::BodyStalled => {
                (true, format!("{host} gives an answer that makes no sense: {error}"))
            }
            _ => (false, format!("The request to {host} failed: {error}")),
        };
        let what = match &self.proxy {
            Some(proxy) => format!("{what} (by the proxy {proxy})"),
            None => what,
        };
        Trouble { error: Error::new(ErrorKind::Network, what).caused_by(error), passing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &'static [(&str, &str)], url: &str) -> Option<String> {
        let network = Network {
            variables: Arc::new(move |name| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| (*value).to_owned())
            }),
            ..Network::default()
        };
        let proxy = proxy(&network, &url.parse().unwrap()).unwrap();
        proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port()))
    }

    #[test]
    fn proxies_are_chosen_as_other_programs_choose_them() {
        let https = "https://dl.example.com/a.th";
        let http = "http://dl.example.com/a.th";
        let some = |proxy: &str| Some(proxy.to_owned());
        assert_eq!(chosen(&[], https), None);
        let both = &[("HTTPS_PROXY", "http://a:1"), ("http_proxy", "b:2"), ("ALL_PROXY", "c:3")];
        assert_eq!(chosen(both, https), some("a:1"));
        assert_eq!(chosen(both, http), some("b:2"));
        assert_eq!(chosen(&[("ALL_PROXY", "socks5h://c:3")], https), some("c:3"));
        assert_eq!(chosen(&[("HTTP_PROXY", "http://b:2")], https), None);
        assert_eq!(chosen(&[("https_proxy", "a:1"), ("HTTPS_PROXY", "b:2")], https), some("a:1"));
        assert_eq!(chosen(&[("HTTPS_PROXY", " ")], https), None);
        for no_proxy in ["*", "example.com", ".example.com", "x, *.example.com", "dl.EXAMPLE.com"] {
            let variables = vec![("HTTPS_PROXY", "http://a:1"), ("NO_PROXY", no_proxy)];
            assert_eq!(chosen(variables.leak(), https), None, "{no_proxy}");
        }
        let other = &[("HTTPS_PROXY", "http://a:1"), ("NO_PROXY", "ample.com,other.org")];
        assert_eq!(chosen(other, https), some("a:1"));
    }

    #[test]
    fn a_proxy_that_makes_no_sense_is_named_without_its_password() {
        let network = Network {
            variables: Arc::new(|_| Some("ftp://me:secret@host".to_owned())),
            ..Network::default()
        };
        let error = proxy(&network, &"https://a.org/".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.what.contains("HTTPS_PROXY") && !format!("{error:?}").contains("secret"));
    }
}
