// SPDX-License-Identifier: Apache-2.0
// gantryd's side of the template: spawning it, asking it for shims, and starting it anew should it end.
#include "base/subprocess.h"
#include "shim/channel.h"
#include "shim/client.h"
#include "sys/socket.h"

namespace gantry::shim {

struct Template::Impl {
  explicit Impl(Loop& l) : loop(l) {}

  Status launch() {
    auto pair = sys::seqpacket_pair(true);
    if (!pair) return std::unexpected(std::move(pair.error()));
    // The template waits in recvmsg, not in a poller: its end blocks. File status flags are each end's own.
    if (auto s = sys::set_blocking(pair->right); !s) return s;
    Command command;
    command.executable = program;
    command.argv = {"gantry-shim", std::string("template") + std::string(72, ' ')};
    command.error = FdRef(2);
    command.fds = {pair->right};
    auto process = gantry::spawn(command);
    if (!process) return fail_with(std::move(process.error()), "start gantry-shim");
    channel = Channel::open(loop, SocketFd(std::move(pair->left)), [](Kind, std::string_view, std::vector<OwnFd>) {});
    pid = process->pid();
    loop.spawn(
        [](Loop& l, gantry::Process child) -> Task<> { (void)co_await child.wait(l); }(loop, std::move(*process)));
    return {};
  }

  Loop& loop;
  OwnFd program;
  std::shared_ptr<Channel> channel;
  pid_t pid = 0;
};

Template::Template(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Template::~Template() { impl_->channel->close(); }
pid_t Template::pid() const { return impl_->pid; }

Result<std::unique_ptr<Template>> Template::launch(Loop& loop, FdRef shim) {
  auto impl = std::make_shared<Impl>(loop);
  auto program = gantry::duplicate(shim);
  if (!program) return std::unexpected(std::move(program.error()));
  impl->program = std::move(*program);
  if (auto s = impl->launch(); !s) return std::unexpected(std::move(s.error()));
  return std::unique_ptr<Template>(new Template(std::move(impl)));
}

Task<Result<std::unique_ptr<Client>>> Template::spawn(SpawnRequest request, SpawnFds fds) {
  auto self = impl_;
  if (!self->channel->is_open()) {
    if (auto s = self->launch(); !s) co_return std::unexpected(std::move(s.error()));
  }
  auto pair = sys::seqpacket_pair(true);
  if (!pair) co_return std::unexpected(std::move(pair.error()));
  std::vector<OwnFd> all;
  all.push_back(std::move(fds.cgroup));
  all.push_back(std::move(fds.listener));
  all.push_back(std::move(pair->right));
  all.push_back(std::move(fds.records));
  if (fds.users.is_open()) all.push_back(std::move(fds.users));
  std::string id = request.sandbox_id;
  auto answer =
      co_await self->channel->request(Kind::kSpawn, encode(request), std::move(all), Kind::kStarted, kLaunchLimit);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  if (answer->fds.empty()) co_return fail(Code::kInternal, "the template of shims sent no pidfd");
  auto client = co_await Client::adopt(self->loop, PidFd(std::move(answer->fds[0])), SocketFd(std::move(pair->left)));
  if (!client) co_return fail_with(std::move(client.error()), "shim of " + id);
  co_return std::move(client);
}

Task<Result<OwnFd>> Template::user_namespace(runtime::oci::IdMappings ids) {
  auto self = impl_;
  if (!self->channel->is_open()) {
    if (auto s = self->launch(); !s) co_return std::unexpected(std::move(s.error()));
  }
  auto answer = co_await self->channel->request(Kind::kUserNamespace, encode(UserNamespaceRequest{std::move(ids)}), {},
                                                Kind::kDone, kLaunchLimit);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  if (answer->fds.empty()) co_return fail(Code::kInternal, "the template of shims sent no user namespace");
  co_return std::move(answer->fds[0]);
}

}  // namespace gantry::shim
