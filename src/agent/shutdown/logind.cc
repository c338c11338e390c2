// SPDX-License-Identifier: Apache-2.0
#include "agent/shutdown/logind.h"

#include <poll.h>
#include <systemd/sd-bus.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/text.h"

namespace gantry::agent {
namespace {

constexpr char kName[] = "org.freedesktop.login1";
constexpr char kPath[] = "/org/freedesktop/login1";
constexpr char kManager[] = "org.freedesktop.login1.Manager";
constexpr char kPrepare[] =
    "type='signal',sender='org.freedesktop.login1',path='/org/freedesktop/login1',"
    "interface='org.freedesktop.login1.Manager',member='PrepareForShutdown'";
constexpr char kOwner[] =
    "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
    "member='NameOwnerChanged',arg0='org.freedesktop.login1'";
// Of words that nobody has asked for yet; who sends more than that has lost his mind.
constexpr std::size_t kMaxWords = 64;

struct Unref {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Bus = std::unique_ptr<sd_bus, Unref>;
using Slot = std::unique_ptr<sd_bus_slot, Unref>;
using Message = std::unique_ptr<sd_bus_message, Unref>;

// sd-bus answers with a negative errno.
std::unexpected<Error> failed(int result, std::string_view what) {
  return std::unexpected(Error::from_errno(-result, what));
}

struct Call {
  explicit Call(Loop& loop) : answered(loop) {}
  Event answered;
  Message answer;  // null: the connection has ended
};

int take_answer(sd_bus_message* message, void* data, sd_bus_error*) {
  auto& call = *static_cast<Call*>(data);
  call.answer.reset(sd_bus_message_ref(message));
  call.answered.set();
  return 0;
}

}  // namespace

struct Logind::Impl {
  explicit Impl(Loop& l) : loop(l), spoken(l) {}

  static Task<> pump(std::shared_ptr<Impl> self);
  static Task<Result<Message>> call(std::shared_ptr<Impl> self, Message request, const char* what);
  static Task<Result<Message>> property(std::shared_ptr<Impl> self, const char* name);
  static int hear_prepare(sd_bus_message* message, void* data, sd_bus_error*);
  static int hear_owner(sd_bus_message* message, void* data, sd_bus_error*);
  Status open(const std::string& address);
  void say(Word word);
  void close();

  Loop& loop;
  Bus bus;
  Slot prepare, owner;
  FdRef fd;
  std::unique_ptr<Watch> watch;
  std::set<std::shared_ptr<Call>> calls;
  std::deque<Word> words;
  Event spoken;
  bool closed = false;
};

Status Logind::Impl::open(const std::string& address) {
  sd_bus* made = nullptr;
  int done = address.empty() ? sd_bus_open_system(&made) : sd_bus_new(&made);
  if (done < 0) return failed(done, "connect to the system bus");
  bus.reset(made);
  if (!address.empty()) {
    done = sd_bus_set_address(made, address.c_str());
    if (done >= 0) done = sd_bus_set_bus_client(made, 1);
    if (done >= 0) done = sd_bus_start(made);
    if (done < 0) return failed(done, cat("connect to the bus ", address));
  }
  // Should the bus refuse them, it ends the connection.
  for (auto [rule, slot, hear] : {std::tuple(kPrepare, &prepare, &hear_prepare), {kOwner, &owner, &hear_owner}}) {
    sd_bus_slot* added = nullptr;
    done = sd_bus_add_match_async(made, &added, rule, hear, nullptr, this);
    if (done < 0) return failed(done, "listen to logind");
    slot->reset(added);
  }
  done = sd_bus_get_fd(made);
  if (done < 0) return failed(done, "the bus's socket");
  fd = FdRef(done);
  watch = std::make_unique<Watch>(loop, fd);
  return {};
}

void Logind::Impl::say(Word word) {
  if (words.size() >= kMaxWords) words.pop_front();
  words.push_back(word);
  spoken.set();
}

void Logind::Impl::close() {
  if (std::exchange(closed, true)) return;
  if (watch) watch->cancel();
  for (const auto& call : calls) call->answered.set();
  spoken.set();
}

int Logind::Impl::hear_prepare(sd_bus_message* message, void* data, sd_bus_error*) {
  int is_on = 0;
  if (sd_bus_message_read_basic(message, 'b', &is_on) <= 0) return 0;
  static_cast<Impl*>(data)->say(is_on != 0 ? Word::kShutdown : Word::kCancelled);
  return 0;
}

int Logind::Impl::hear_owner(sd_bus_message* message, void* data, sd_bus_error*) {
  const char *name = nullptr, *before = nullptr, *now = nullptr;
  if (sd_bus_message_read(message, "sss", &name, &before, &now) <= 0) return 0;
  if (std::string_view(name) == kName && *now != '\0') static_cast<Impl*>(data)->say(Word::kStarted);
  return 0;
}

// Until the connection has ended. What is written is short: the socket takes it at once, or the call's limit is over.
Task<> Logind::Impl::pump(std::shared_ptr<Impl> self) {
  while (!self->closed) {
    sd_bus* bus = self->bus.get();
    int done = 0;
    while (!self->closed && (done = sd_bus_process(bus, nullptr)) > 0) {
    }
    const int events = done < 0 ? done : sd_bus_get_events(bus);
    // Another socket: it tried another of several addresses.
    if (self->closed || events < 0 || sd_bus_get_fd(bus) != self->fd.get()) break;
    auto ready = (events & POLLOUT) != 0 ? co_await self->watch->writable() : co_await self->watch->readable();
    if (!ready) break;
  }
  self->close();
}

Task<Result<Message>> Logind::Impl::call(std::shared_ptr<Impl> self, Message request, const char* what) {
  if (self->closed) co_return fail(Code::kUnavailable, cat(what, ": the system bus has gone"));
  auto call = std::make_shared<Call>(self->loop);
  sd_bus_slot* added = nullptr;
  const int sent = sd_bus_call_async(self->bus.get(), &added, request.get(), take_answer, call.get(), UINT64_MAX);
  if (sent < 0) co_return failed(sent, what);
  Slot slot(added);
  self->calls.insert(call);
  const bool is_answered = co_await call->answered.wait_for(kLimit);
  self->calls.erase(call);
  slot.reset();
  if (!is_answered) self->close();
  if (!is_answered) co_return fail(Code::kDeadlineExceeded, cat(what, ": no answer in time"));
  if (!call->answer) co_return fail(Code::kUnavailable, cat(what, ": the system bus has gone"));
  if (const sd_bus_error* error = sd_bus_message_get_error(call->answer.get())) {
    co_return fail(Code::kUnavailable, cat(what, ": ", error->message != nullptr ? error->message : error->name));
  }
  co_return std::move(call->answer);
}

Task<Result<Message>> Logind::Impl::property(std::shared_ptr<Impl> self, const char* name) {
  sd_bus_message* made = nullptr;
  int done =
      sd_bus_message_new_method_call(self->bus.get(), &made, kName, kPath, "org.freedesktop.DBus.Properties", "Get");
  Message request(made);
  if (done >= 0) done = sd_bus_message_append(made, "ss", kManager, name);
  if (done < 0) co_return failed(done, name);
  co_return co_await call(std::move(self), std::move(request), name);
}

// ---- Logind

Logind::Logind(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Logind::~Logind() { close(); }

void Logind::close() { impl_->close(); }

Result<std::unique_ptr<Logind>> Logind::connect(Loop& loop, const std::string& bus_address) {
  auto impl = std::make_shared<Impl>(loop);
  if (auto opened = impl->open(bus_address); !opened) return std::unexpected(std::move(opened.error()));
  loop.spawn(Impl::pump(impl));
  return std::unique_ptr<Logind>(new Logind(std::move(impl)));
}

Task<Result<Duration>> Logind::longest_delay() {
  auto answer = co_await Impl::property(impl_, "InhibitDelayMaxUSec");
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  std::uint64_t microseconds = 0;
  const int read = sd_bus_message_read(answer->get(), "v", "t", &microseconds);
  if (read < 0) co_return failed(read, "read InhibitDelayMaxUSec");
  // Beyond all that is ever asked for, and no overflow.
  constexpr std::uint64_t kMost = std::uint64_t{1} << 50;
  co_return std::chrono::microseconds(std::min(microseconds, kMost));
}

Task<Result<bool>> Logind::is_preparing() {
  auto answer = co_await Impl::property(impl_, "PreparingForShutdown");
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  int is_on = 0;
  const int read = sd_bus_message_read(answer->get(), "v", "b", &is_on);
  if (read < 0) co_return failed(read, "read PreparingForShutdown");
  co_return is_on != 0;
}

Task<Result<OwnFd>> Logind::inhibit() {
  sd_bus_message* made = nullptr;
  int done = sd_bus_message_new_method_call(impl_->bus.get(), &made, kName, kPath, kManager, "Inhibit");
  Message request(made);
  if (done >= 0) {
    done = sd_bus_message_append(made, "ssss", "shutdown", "gantryd", "The pods of this node are given time to end",
                                 "delay");
  }
  if (done < 0) co_return failed(done, "Inhibit");
  auto answer = co_await Impl::call(impl_, std::move(request), "take logind's lock");
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  int fd = -1;
  done = sd_bus_message_read_basic(answer->get(), 'h', &fd);
  if (done <= 0) co_return failed(done == 0 ? -EBADMSG : done, "read logind's lock");
  co_return duplicate(FdRef(fd));  // the message's own goes with it
}

Task<Status> Logind::reload() {
  sd_bus_message* made = nullptr;
  int done =
      sd_bus_message_new_method_call(impl_->bus.get(), &made, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                     "org.freedesktop.systemd1.Manager", "KillUnit");
  Message request(made);
  if (done >= 0) done = sd_bus_message_append(made, "ssi", "systemd-logind.service", "main", SIGHUP);
  if (done < 0) co_return failed(done, "KillUnit");
  auto answer = co_await Impl::call(impl_, std::move(request), "have logind read its configuration");
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return Status();
}

Task<std::optional<Logind::Word>> Logind::next() {
  auto impl = impl_;
  while (impl->words.empty() && !impl->closed) {
    impl->spoken.reset();
    co_await impl->spoken.wait();
  }
  if (impl->words.empty()) co_return std::nullopt;
  const Word word = impl->words.front();
  impl->words.pop_front();
  co_return word;
}

}  // namespace gantry::agent
