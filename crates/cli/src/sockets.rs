//! `durabo sockets`: which WebSockets are open, sending to one, closing one.
//!
//! A list is shown one page at a time; what follows is asked for with `--after`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use durabo_model::limits::SOCKET_MESSAGE_BYTES_MAX;
use serde::Deserialize;

use crate::client::{Answer, Client, ControlArgs};
use crate::output::{Output, size};
use crate::refusal::Refusal;
use crate::target::{ObjectTarget, Target, segment};
use crate::timestamp::utc;

/// Lists WebSockets, sends to one, and closes one
#[derive(Debug, Args)]
pub struct SocketsArgs {
    #[command(subcommand)]
    command: SocketsCommand,
}

#[derive(Debug, Subcommand)]
enum SocketsCommand {
    Ls(LsArgs),
    Send(SendArgs),
    Close(CloseArgs),
}

/// Lists the open sockets of an app, a class or an object, by object and in the order of their acceptance
#[derive(Debug, Args)]
struct LsArgs {
    /// The app, the class or the object
    #[arg(value_name = "APP[/CLASS[/NAME]]")]
    of: Target,

    /// At most so many, up to 1000
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u32,

    /// Only sockets behind this one, named by its object's id and its number: `3652ef…-1099511627776`
    #[arg(long, value_name = "ID-SOCKET")]
    after: Option<String>,

    #[command(flatten)]
    control: ControlArgs,
}

/// Sends a text or bytes to a socket's client, behind what its object has sent
#[derive(Debug, Args)]
struct SendArgs {
    /// The object: its name, or `~id:` with its id
    #[arg(value_name = "APP/CLASS/NAME")]
    object: ObjectTarget,

    /// Number of the socket
    #[arg(value_name = "SOCKET")]
    socket: u64,

    /// The text; what standard input holds if neither this nor `--binary` is given
    #[arg(value_name = "TEXT", conflicts_with = "binary")]
    text: Option<String>,

    /// Sends what a file holds as bytes; `-` is standard input
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,

    #[command(flatten)]
    control: ControlArgs,
}

/// Closes a socket, behind what its object has sent
#[derive(Debug, Args)]
struct CloseArgs {
    /// The object: its name, or `~id:` with its id
    #[arg(value_name = "APP/CLASS/NAME")]
    object: ObjectTarget,

    /// Number of the socket
    #[arg(value_name = "SOCKET")]
    socket: u64,

    /// Code for the client, 1000 to 4999 but 1004, 1005, 1006 and 1015; none if it is not given
    #[arg(long, value_name = "CODE")]
    code: Option<u16>,

    /// Reason for the client, 123 bytes at most; needs a code
    #[arg(long, value_name = "TEXT", requires = "code")]
    reason: Option<String>,

    #[command(flatten)]
    control: ControlArgs,
}

#[derive(Deserialize)]
struct Page {
    sockets: Vec<Socket>,
    more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Socket {
    socket: String,
    class: String,
    id: String,
    name: Option<String>,
    live: bool,
    instance: bool,
    state: String,
    tags: Vec<String>,
    protocol: Option<String>,
    opened_ms: u64,
    outgoing: Waiting,
    incoming: Waiting,
}

#[derive(Deserialize)]
struct Waiting {
    messages: u64,
    bytes: u64,
}

/// Runs the command.
pub fn run(args: &SocketsArgs, output: Output) -> anyhow::Result<()> {
    match &args.command {
        SocketsCommand::Ls(args) => ls(args, output),
        SocketsCommand::Send(args) => send(args, output),
        SocketsCommand::Close(args) => close(args, output),
    }
}

fn ls(args: &LsArgs, output: Output) -> anyhow::Result<()> {
    let client = Client::of_control_plane(&args.control)?;
    let after = args.after.as_ref().map_or_else(String::new, |after| format!("&after={}", segment(after)));
    let answer = client.get(&format!("{}/sockets?limit={}{after}", args.of.path(), args.limit))?;
    let page: Page = answer.read()?;
    if output.is_json() {
        return Ok(output.text(&answer.body)?);
    }
    let last = page.sockets.last().map(|socket| format!("{}-{}", socket.id, socket.socket));
    let rows = page.sockets.into_iter().map(row).collect::<Vec<_>>();
    let heads =
        ["SOCKET", "STATE", "OPEN SINCE", "TO CLIENT", "TO OBJECT", "LIVE", "PROTOCOL", "TAGS", "OBJECT"];
    output.table(&heads, &rows)?;
    if let Some(last) = last.filter(|_| page.more) {
        output.remark(&format!("there are more; go on with `--after {last}`"));
    }
    Ok(())
}

fn row(socket: Socket) -> Vec<String> {
    let live = match (socket.live, socket.instance) {
        (false, _) => "no",
        (true, false) => "hibernating",
        (true, true) => "yes",
    };
    let object = socket.name.unwrap_or_else(|| format!("~id:{}", socket.id));
    let tags = if socket.tags.is_empty() { "-".to_owned() } else { socket.tags.join(",") };
    vec![
        socket.socket,
        socket.state,
        utc(socket.opened_ms),
        waiting(&socket.outgoing),
        waiting(&socket.incoming),
        live.to_owned(),
        socket.protocol.unwrap_or_else(|| "-".to_owned()),
        tags,
        format!("{}/{object}", socket.class),
    ]
}

fn waiting(waiting: &Waiting) -> String {
    match waiting.messages {
        0 => "-".to_owned(),
        messages => format!("{messages} ({})", size(waiting.bytes)),
    }
}

fn send(args: &SendArgs, output: Output) -> anyhow::Result<()> {
    let client = Client::of_control_plane(&args.control)?;
    let path = format!("{}/message", path_of(&args.object, args.socket));
    let answer = match (&args.binary, &args.text) {
        (Some(file), _) => client.post(&format!("{path}?binary=true"), &message_of(file)?)?,
        (None, Some(text)) => client.post(&path, text.as_bytes())?,
        (None, None) => client.post(&path, &message_of(Path::new("-"))?)?,
    };
    done(&answer, "sent", output)
}

/// What a file holds, or standard input.
fn message_of(file: &Path) -> anyhow::Result<Vec<u8>> {
    let doing = || format!("reading the message from `{}`", file.display());
    let reader: Box<dyn Read> = match file == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        // A name that leads nowhere is wrong input, and nothing that broke.
        false => Box::new(File::open(file).map_err(|error| Refusal::new(format!("{}: {error}", doing())))?),
    };
    let mut message = Vec::new();
    // One byte more shows that it is too much.
    reader.take(SOCKET_MESSAGE_BYTES_MAX as u64 + 1).read_to_end(&mut message).with_context(doing)?;
    if message.len() > SOCKET_MESSAGE_BYTES_MAX {
        let text = format!("the message has more than {SOCKET_MESSAGE_BYTES_MAX} bytes; send it in several");
        return Err(Refusal::new(text).into());
    }
    Ok(message)
}

fn close(args: &CloseArgs, output: Output) -> anyhow::Result<()> {
    let client = Client::of_control_plane(&args.control)?;
    let mut path = path_of(&args.object, args.socket);
    if let Some(code) = args.code {
        path.push_str(&format!("?code={code}"));
    }
    if let Some(reason) = &args.reason {
        path.push_str(&format!("&reason={}", segment(reason)));
    }
    done(&client.delete(&path)?, "the closing frame is on its way", output)
}

fn done(answer: &Answer, text: &str, output: Output) -> anyhow::Result<()> {
    if output.is_json() {
        return Ok(output.text(&answer.body)?);
    }
    Ok(output.line(text)?)
}

fn path_of(object: &ObjectTarget, socket: u64) -> String {
    format!("{}/sockets/{socket}", object.path())
}
