// SPDX-License-Identifier: Apache-2.0
#include "cri/sandbox_files.h"

#include <fcntl.h>

#include "base/layout.h"
#include "cri/runtime/v1/api.pb.h"
#include "cri/text.h"
#include "sys/file.h"

namespace gantry::cri {

std::string resolv_conf(const ::runtime::v1::DNSConfig& dns) {
  std::string text;
  if (dns.searches_size() > 0) text += cat("search ", joined(dns.searches(), " "), "\n");
  for (const auto& server : dns.servers()) text += cat("nameserver ", server, "\n");
  if (dns.options_size() > 0) text += cat("options ", joined(dns.options(), " "), "\n");
  return text;
}

std::string hosts_file(const std::vector<std::string>& addresses, std::string_view hostname) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\n"
      "fe00::0\tip6-mcastprefix\n"
      "fe00::1\tip6-allnodes\n"
      "fe00::2\tip6-allrouters\n";
  if (hostname.empty()) return text;
  for (const auto& address : addresses) text += cat(address, "\t", hostname, "\n");
  return text;
}

namespace {

// The folder is ours alone, and nobody sees the files before the first container starts.
Status write_whole(FdRef folder, std::string_view name, const std::string& text, const SandboxFiles& files) {
  std::string path(name);
  auto file = sys::openat(folder, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644);
  if (!file) return std::unexpected(std::move(file.error()));
  if (auto set = sys::fchown(*file, files.uid, files.gid); !set) return set;
  if (auto set = sys::fchmod(*file, 0644); !set) return set;
  return sys::write_all(*file, text);
}

}  // namespace

Status write_sandbox_files(FdRef folder, const SandboxFiles& files) {
  if (auto done = write_whole(folder, Layout::kResolvConf, files.resolv_conf, files); !done) return done;
  if (auto done = write_whole(folder, Layout::kHosts, files.hosts, files); !done) return done;
  return write_whole(folder, Layout::kHostname, files.hostname.empty() ? "" : files.hostname + "\n", files);
}

Result<std::optional<std::string>> read_host_file(const char* path) {
  auto file = sys::openat(sys::kCwd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) {
    if (file.error().is_not_found()) return std::nullopt;
    return std::unexpected(std::move(file.error()));
  }
  auto text = sys::read_all(*file, kMaxHostFileBytes);
  if (!text) return fail_with(std::move(text.error()), path);
  return std::optional<std::string>(std::move(*text));
}

}  // namespace gantry::cri
