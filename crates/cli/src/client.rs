//! The HTTP client of a node, for both of its planes.
//!
//! A failed connection says how to start a node, and no wait for one is without end; an error record of the
//! node becomes a [`Refusal`] with its code and request number. Proxies of the environment are not asked: the control
//! plane's token must not pass through them.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use durabo_model::error_code::ErrorCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{self, Method, header};
use ureq::{Agent, SendBody, Timeout};

use crate::refusal::Refusal;

/// A node on this machine answers at once; a name that resolves to nowhere should not hang.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than a node lets a component compile, so that its answer arrives; and a call may take as long
/// as its object likes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// Silence after which a node that tells line by line is given up: it says something every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Largest answer: the largest RPC value, 32 MiB, grows in JSON.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// A longer body is sent only when the node wants it: one that is refused would fill the connection and
/// break it, and the refusal would never be read.
const UNASKED_BYTES_MAX: u64 = 16 * 1024;

/// Data folder unless another is named, in the current folder.
pub const DATA_DEFAULT: &str = "durabo-data";
/// Address of the data plane unless another is named.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7610";
/// Address of the control plane unless another is named.
pub const CONTROL_DEFAULT: &str = "127.0.0.1:7611";

/// How to reach a control plane.
#[derive(Debug, Args)]
pub struct ControlArgs {
    /// Address of the node's control plane
    #[arg(long, value_name = "ADDR", env = "DURABO_CONTROL", hide_env_values = true, default_value = CONTROL_DEFAULT)]
    pub control: String,

    /// The node's data folder, whose file `token` opens the control plane
    #[arg(long, value_name = "DIR", env = "DURABO_DATA", hide_env_values = true, default_value = DATA_DEFAULT)]
    pub data: PathBuf,

    /// Token of the control plane, instead of the one in the data folder
    #[arg(long, value_name = "TOKEN", env = "DURABO_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// How to reach a data plane.
#[derive(Debug, Args)]
pub struct DataPlaneArgs {
    /// Address of the node's data plane
    #[arg(long, value_name = "ADDR", env = "DURABO_LISTEN", hide_env_values = true, default_value = LISTEN_DEFAULT)]
    pub listen: String,
}

/// A client of one listener.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
    /// Where the token came from, or why there is none; for the refusal of a wrong one.
    token_origin: String,
}

/// What was answered, whatever the status.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// The id of a new object, if one was made.
    pub object_id: Option<String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body)
            .context("the answer is not what this program expects; is the node of another version?")
    }
}

#[derive(Deserialize)]
struct Record {
    error: RecordFields,
}

#[derive(Deserialize)]
struct RecordFields {
    code: String,
    message: String,
    request: String,
}

impl RecordFields {
    /// The message with what finds it in the documents and in the log.
    fn text(&self) -> String {
        let Self { code, message, request } = self;
        match code.as_str() {
            // An object's own error need not have one.
            "" => format!("{message} (request {request})"),
            code => format!("{message} ({code}, request {request})"),
        }
    }
}

impl Client {
    /// A client of the control plane, with the token that the arguments lead to.
    pub fn of_control_plane(args: &ControlArgs) -> anyhow::Result<Self> {
        let (token, token_origin) = match &args.token {
            Some(token) => {
                (Some(token.clone()), "the token was given by `--token` or `DURABO_TOKEN`".to_owned())
            }
            None => match durabo_server::read_token(&args.data) {
                Ok(token) => {
                    (Some(token), format!("the token was read from `{}`", args.data.join("token").display()))
                }
                // Whether a token is needed, and whether a node is there at all, is for the answer to tell.
                Err(error) => (None, format!("no token was found ({error:#})")),
            },
        };
        Ok(Self { token, token_origin, ..Self::new(&args.control)? })
    }

    /// A client of the control plane with a token that is known.
    pub fn with_token(address: &str, token: &str) -> anyhow::Result<Self> {
        Ok(Self { token: Some(token.to_owned()), ..Self::new(address)? })
    }

    /// A client of the data plane.
    pub fn of_data_plane(args: &DataPlaneArgs) -> anyhow::Result<Self> {
        Self::new(&args.listen)
    }

    fn new(address: &str) -> anyhow::Result<Self> {
        let authority = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
        let parsed = authority.parse::<http::uri::Authority>().ok().filter(|parsed| parsed.port().is_some());
        if parsed.is_none() || authority.contains('@') {
            return Err(
                Refusal::new(format!("`{address}` is not an address; write it as `127.0.0.1:7610`")).into()
            );
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT))
            .user_agent(concat!("durabo/", env!("CARGO_PKG_VERSION")));
        Ok(Self {
            agent: config.build().new_agent(),
            base: format!("http://{authority}"),
            token: None,
            token_origin: String::new(),
        })
    }

    /// Asks for what is at `path`.
    pub fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.accepted(self.send(Method::GET, path, SendBody::none(), None)?)
    }

    /// Asks for what is at `path`, line by line, for as long as the node goes on. It is an error if it falls silent.
    pub fn lines(&self, path: &str) -> anyhow::Result<impl Iterator<Item = anyhow::Result<String>> + use<>> {
        self.lines_within(path, SILENCE_MAX)
    }

    fn lines_within(
        &self,
        path: &str,
        silence_max: Duration,
    ) -> anyhow::Result<impl Iterator<Item = anyhow::Result<String>> + use<>> {
        let request = self.request(Method::GET, path).body(SendBody::none());
        let request =
            request.map_err(|error| Refusal::new(format!("the request cannot be sent: {error}")))?;
        let request = self.agent.configure_request(request);
        let request = request.timeout_global(None).timeout_per_read(Some(silence_max)).build();
        let mut response = self.agent.run(request).map_err(|error| connection_fault(&self.base, error))?;
        let status = response.status();
        if !status.is_success() {
            let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
            let body = body.map_err(|error| connection_fault(&self.base, error))?;
            self.accepted(Answer { status: status.as_u16(), object_id: None, body })?;
        }
        let base = self.base.clone();
        let lines = BufReader::new(response.into_body().into_reader()).lines();
        Ok(lines.map(move |line| line.map_err(|error| connection_fault(&base, error.into()))))
    }

    /// Sends a body.
    pub fn post(&self, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
        self.accepted(self.exchange(Method::POST, path, body)?)
    }

    /// Removes what is at `path`.
    pub fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.accepted(self.send(Method::DELETE, path, SendBody::none(), None)?)
    }

    /// Sends what a reader gives, whose length is known.
    pub fn upload(&self, path: &str, reader: &mut dyn Read, bytes: u64) -> anyhow::Result<Answer> {
        self.accepted(self.send(Method::POST, path, SendBody::from_reader(reader), Some(bytes))?)
    }

    /// Sends a request and returns the answer, whatever its status.
    pub fn exchange(&self, method: Method, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let mut reader = body;
        self.send(method, path, SendBody::from_reader(&mut reader), Some(body.len() as u64))
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: SendBody<'_>,
        bytes: Option<u64>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.request(method, path);
        if let Some(bytes) = bytes {
            request = request.header(header::CONTENT_LENGTH, bytes);
            if bytes > UNASKED_BYTES_MAX {
                request = request.header(header::EXPECT, "100-continue");
            }
        }
        let request = request
            .body(body)
            .map_err(|error| Refusal::new(format!("the request cannot be sent: {error}")))?;
        let mut response = self.agent.run(request).map_err(|error| connection_fault(&self.base, error))?;
        let object_id =
            response.headers().get("x-durabo-object-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| connection_fault(&self.base, error))?;
        Ok(Answer { status: response.status().as_u16(), object_id, body })
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// The answer, unless it is an error record.
    fn accepted(&self, answer: Answer) -> anyhow::Result<Answer> {
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let Ok(Record { error }) = serde_json::from_slice::<Record>(&answer.body) else {
            return Err(anyhow!(
                "{} answered with status {} and no error record; is it a durabo node?",
                self.base,
                answer.status
            ));
        };
        let mut message = error.text();
        if error.code == ErrorCode::Unauthorized.as_str() {
            message = format!("{message}\n{}; name the node's data folder with `--data`", self.token_origin);
        }
        if error.code == ErrorCode::Internal.as_str() {
            return Err(anyhow!(message));
        }
        Err(Refusal { code: error.code, message }.into())
    }
}

/// What became of a connection to `base`, and what to do.
fn connection_fault(base: &str, error: ureq::Error) -> anyhow::Error {
    match error {
        ureq::Error::ConnectionFailed => no_node(base),
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => no_node(base),
        ureq::Error::Timeout(Timeout::PerRead) => anyhow!(
            "nothing is heard of the node at {base} any more; see whether it still runs and the network is up, and \
             start the command again"
        ),
        ureq::Error::Timeout(Timeout::Global) => anyhow!(
            "the node at {base} has not answered in time; what it was asked for may be done all the same, so look \
             before you ask again"
        ),
        error => anyhow::Error::new(error).context(format!("asking {base}")),
    }
}

fn no_node(base: &str) -> anyhow::Error {
    anyhow!("no node answers at {base}; start one with `durabo serve`, or name its address")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use ureq::unversioned::resolver::DefaultResolver;
    use ureq::unversioned::transport::{
        Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
    };

    use super::*;

    /// A node that answers with these bytes and is silent from then on. Who waits for more is told at once that the
    /// time is over, so that no test waits.
    #[derive(Debug)]
    struct SilentNode(&'static [u8]);

    impl Connector for SilentNode {
        type Out = SilentConnection;

        fn connect(
            &self,
            details: &ConnectionDetails<'_>,
            _: Option<()>,
        ) -> Result<Option<SilentConnection>, ureq::Error> {
            let config = details.config;
            let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
            Ok(Some(SilentConnection { says: self.0, buffers }))
        }
    }

    #[derive(Debug)]
    struct SilentConnection {
        says: &'static [u8],
        buffers: LazyBuffers,
    }

    impl Transport for SilentConnection {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.buffers
        }

        fn transmit_output(&mut self, bytes: usize, _: NextTimeout) -> Result<(), ureq::Error> {
            let request = &self.buffers.output()[..bytes];
            assert!(request.starts_with(REQUEST), "{}", String::from_utf8_lossy(request));
            Ok(())
        }

        fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
            let bound = timeout.for_read();
            assert_eq!((*bound.after, bound.reason), (SILENCE_MAX, Timeout::PerRead));
            if self.says.is_empty() {
                return Err(ureq::Error::Timeout(bound.reason));
            }
            let bytes = self.says.read(self.buffers.input_append_buf())?;
            self.buffers.input_appended(bytes);
            Ok(true)
        }

        fn is_open(&mut self) -> bool {
            false
        }
    }

    const REQUEST: &[u8] = b"GET /tail HTTP/1.1\r\n";

    fn client_of(address: &str) -> Client {
        Client::with_token(address, "t").expect("an address")
    }

    fn client_of_silent(node: SilentNode) -> Client {
        let client = client_of(CONTROL_DEFAULT);
        let config = client.agent.config().clone();
        Client { agent: Agent::with_parts(config, node, DefaultResolver::default()), ..client }
    }

    fn assert_is_silence(error: &anyhow::Error) {
        assert!(
            error.to_string().starts_with("nothing is heard of the node at http://127.0.0.1:"),
            "{error:#}"
        );
        assert!(error.downcast_ref::<Refusal>().is_none(), "the exit code is that of a fault");
    }

    #[test]
    fn a_node_that_falls_silent_is_given_up_behind_the_lines_that_it_told() {
        let said = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n\na\n\r\n";
        let client = client_of_silent(SilentNode(said));
        let mut lines = client.lines("/tail").expect("it begins");
        let told = [lines.next(), lines.next()].map(|line| line.expect("one more").expect("a line"));
        assert_eq!(told, ["", "a"]);
        assert_is_silence(&lines.next().expect("one more").expect_err("silence"));
    }

    #[test]
    fn a_node_that_never_answers_is_given_up() {
        let client = client_of_silent(SilentNode(b""));
        assert_is_silence(&client.lines("/tail").err().expect("silence"));
    }

    #[test]
    fn a_real_connection_is_given_up_too() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = client_of(&listener.local_addr().expect("its address").to_string());
        // It never answers, so that a short time is as good as a long one.
        let silence = client.lines_within("/tail", Duration::from_millis(20));
        assert_is_silence(&silence.err().expect("silence"));
        drop(client);
        let (mut connection, _) = listener.accept().expect("a client");
        let mut request = Vec::new();
        connection.read_to_end(&mut request).expect("it has gone");
        assert!(request.starts_with(REQUEST), "{}", String::from_utf8_lossy(&request));
    }

    #[test]
    fn an_answer_that_takes_too_long_may_have_been_done() {
        let text = connection_fault("http://a:1", ureq::Error::Timeout(Timeout::Global)).to_string();
        assert!(text.contains("may be done all the same"), "{text}");
    }

    #[test]
    fn an_error_is_told_with_its_code_if_it_has_one() {
        let text = |code: &str| {
            let (message, request) = ("no".to_owned(), "1-2".to_owned());
            RecordFields { code: code.to_owned(), message, request }.text()
        };
        assert_eq!(text("reset"), "no (reset, request 1-2)");
        assert_eq!(text(""), "no (request 1-2)");
    }
}
