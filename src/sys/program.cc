// SPDX-License-Identifier: Apache-2.0
#include "sys/program.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "sys/file.h"
#include "sys/poll.h"
#include "sys/process.h"

namespace gantry::sys {
namespace {

constexpr std::size_t kMaxErrors = 1024;
constexpr std::size_t kBlock = 16 << 10;

// Reads what the program says until it has ended and no more is there.
Status listen(FdRef pidfd, OwnFd output, OwnFd errors, std::size_t limit, SteadyTime deadline, ProgramEnd& end) {
  std::string block(kBlock, '\0');
  for (;;) {
    const FdRef sources[] = {output, errors, pidfd};
    auto ready = wait_any_readable(sources, deadline);
    if (!ready) return std::unexpected(std::move(ready.error()));
    if (*ready == 2) return {};
    OwnFd& source = *ready == 0 ? output : errors;
    auto count = read(source, block.data(), block.size());
    if (!count) return std::unexpected(std::move(count.error()));
    if (*count == 0) source.close();
    if (*ready == 0 && end.output.size() + *count > limit)
      return fail(Code::kResourceExhausted, cat("it says more than the ", limit, " bytes that are allowed"));
    if (*ready == 0) end.output.append(block, 0, *count);
    if (*ready == 1) end.errors.append(block, 0, std::min(*count, kMaxErrors - end.errors.size()));
  }
}

}  // namespace

Result<ProgramEnd> run_program(Command command, std::string_view input, std::size_t limit, SteadyTime deadline) {
  auto feed = memfd_of("input", input);
  if (!feed) return std::unexpected(std::move(feed.error()));
  auto output = pipe();
  if (!output) return std::unexpected(std::move(output.error()));
  auto errors = pipe();
  if (!errors) return std::unexpected(std::move(errors.error()));
  command.input = *feed;
  command.output = output->write_end;
  command.error = errors->write_end;
  auto process = spawn(command);
  if (!process) return std::unexpected(std::move(process.error()));
  output->write_end.close();
  errors->write_end.close();
  ProgramEnd end;
  auto heard = listen(process->pidfd(), std::move(output->read_end), std::move(errors->read_end), limit, deadline, end);
  if (!heard) (void)process->kill(SIGKILL);
  auto status = wait_child_end(process->pidfd());
  if (!heard) return std::unexpected(std::move(heard.error()));
  if (!status) return std::unexpected(std::move(status.error()));
  end.status = *status;
  return end;
}

Result<std::string> find_program(const std::string& name, std::string_view path) {
  for (std::string_view rest = path; !rest.empty();) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(folder.size() + 1, rest.size()));
    if (!folder.starts_with('/')) continue;
    std::string file = cat(folder, "/", name);
    auto info = fstatat(kCwd, file.c_str(), 0);
    if (info && S_ISREG(info->st_mode) && (info->st_mode & 0111) != 0) return file;
  }
  return not_found(cat("no such program in ", quoted(path, 300)));
}

Status ended_well(const ProgramEnd& end, std::string_view words) {
  if (end.status.signal != 0) return fail(Code::kUnavailable, cat("it was ended by signal ", end.status.signal));
  if (end.status.code != 0) return fail(Code::kUnavailable, cat("it ended with code ", end.status.code, ": ", words));
  return {};
}

std::vector<std::string> environment_with(const std::vector<std::string>& more) {
  std::vector<std::string> out = more;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('=') + 1);
    if (std::ranges::none_of(more, [&](const std::string& own) { return own.starts_with(name); }))
      out.emplace_back(text);
  }
  return out;
}

}  // namespace gantry::sys
