// SPDX-License-Identifier: Apache-2.0
// The streaming server: what CRI's Exec, Attach and PortForward answer with a URL of. Their caller (crictl, an API
// server) comes to that URL once and upgrades the connection to SPDY/3.1 or WebSocket. For Exec and Attach it speaks
// Kubernetes' remotecommand protocol: stdin, stdout, stderr, terminal sizes and, at the end, how the process ended. For
// PortForward it speaks the portforward protocol (streaming_port_forward.h).
//
// It listens on a loopback address alone. A URL holds a random token of 128 bits, works once and for a short time; who
// does not have it gets 404. All calls on the loop thread. The process must ignore SIGPIPE: a command
// that closes its stdin early is not an error.
//
// An exec ends when its own process ends, after what was in its pipes then was delivered; what a child that it left
// behind writes later is not waited for. An attachment ends with its container. A slow client slows the process: no
// more than about 256 KiB a session wait in memory.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"
#include "http/listen.h"
#include "sys/process.h"

namespace gantry::cri {

// Which streams the caller of Exec or Attach asked for. With a terminal there is no stderr of its own.
struct ExecStreamSet {
  bool tty = false;
  bool in = false;
  bool out = false;
  bool err = false;
};

// Our ends of a started process's streams; the server owns them, makes them non-blocking and closes them. With a
// terminal only `terminal`, its master side, is open; it is read and written.
struct ExecStreams {
  OwnFd in;        // written
  OwnFd out;       // read
  OwnFd err;       // read
  OwnFd terminal;  // both
  // The other ends of `out` and `err` close by themselves soon after wait() returned: all until then is delivered.
  bool are_ended = false;
};

// One exec or attachment, implemented by the runtime. It is kept, unused, until the client comes or its token is too
// old, so it should hold little: ids and the command.
class ExecSession {
 public:
  virtual ~ExecSession() = default;

  // Starts the process; called once, when the client's streams are there. Its error is what the client is told.
  virtual Task<Result<ExecStreams>> start(ExecStreamSet wanted) = 0;
  // The end of the process; called once, after start() succeeded, and awaited to its end also after cancel().
  virtual Task<Result<sys::ExitStatus>> wait() = 0;
  // The client's terminal has a new size. Between start() and the end of wait(), terminals only.
  virtual void resize(std::uint16_t rows, std::uint16_t columns) = 0;
  // The client will send no more input. After start().
  virtual void input_ended() {}
  // The client is gone: end the process, or leave it, so that wait() returns.
  virtual void cancel() = 0;
};

// The connections that the caller of PortForward asks for, implemented by the runtime.
class PortForwardSession {
 public:
  virtual ~PortForwardSession() = default;
  // A connection to a port of the pod's own loopback. Its error is what the client is told.
  virtual Task<Result<OwnFd>> connect(std::uint16_t port) = 0;
};

struct StreamingOptions {
  // How long a URL waits for its client, and how many may wait.
  Duration token_life = std::chrono::minutes(1);
  std::size_t max_tokens = 1000;
  // How long a client may take to open its streams, and how long a session may be without a byte in either direction:
  // the defaults of kubelet.
  Duration stream_creation = std::chrono::seconds(30);
  Duration idle = std::chrono::hours(4);
  // Connections at once; one more is answered 503.
  std::size_t max_connections = 1000;
};

class StreamingServer {
 public:
  // Serves at once. kInvalidArgument for an address that is not loopback.
  static Result<std::unique_ptr<StreamingServer>> start(Loop& loop, http::Listener listener,
                                                        StreamingOptions options = {});
  // Stops listening, forgets all tokens, and ends the sessions as if their clients were gone.
  virtual ~StreamingServer() = default;

  // The URL for one exec: http://127.0.0.1:PORT/exec/TOKEN. kInvalidArgument when no stream is asked for, or stderr
  // with a terminal; kResourceExhausted when max_tokens URLs wait for their clients.
  virtual Result<std::string> add_exec(ExecStreamSet streams, std::unique_ptr<ExecSession> session) = 0;
  // The same for an attachment, with /attach/, and for the forwarding of ports, with /portforward/.
  virtual Result<std::string> add_attach(ExecStreamSet streams, std::unique_ptr<ExecSession> session) = 0;
  virtual Result<std::string> add_port_forward(std::unique_ptr<PortForwardSession> session) = 0;

  virtual std::uint16_t port() const = 0;
};

}  // namespace gantry::cri
