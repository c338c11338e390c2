// SPDX-License-Identifier: Apache-2.0
#include "images/registry/hosts.h"

#include <fcntl.h>

#include <algorithm>

#include "images/registry/hosts_file.h"
#include "images/text.h"
#include "sys/file.h"

namespace gantry::images {
namespace {

constexpr std::size_t kMaxHostsFile = 1 << 20;
constexpr std::size_t kMaxAuthorities = 4 << 20;  // bytes, of one host

struct Folder {
  OwnFd fd;
  std::string path;
};

// The domain's own folder, or the one for all that have none.
Result<std::optional<Folder>> find_folder(const std::string& root, std::string_view domain, bool with_default) {
  // Hosts come from URLs of strangers, too: they name a folder only if they look like hosts.
  const std::string host = lowered(domain);
  const bool is_plain = host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-:[]") == std::string::npos;
  std::vector<std::string> names;
  if (is_plain && !host.empty() && !host.starts_with('.')) {
    if (std::size_t colon = host.rfind(':'); colon != std::string::npos && !host.ends_with(']'))
      names.push_back(cat(host.substr(0, colon), "_", host.substr(colon + 1), "_"));
    names.push_back(host);
  }
  if (with_default) names.emplace_back("_default");
  if (root.empty()) return std::nullopt;
  for (const std::string& name : names) {
    const std::string path = cat(root, "/", name);
    auto fd = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_DIRECTORY);
    if (fd) return Folder{std::move(*fd), path};
    if (!fd.error().is_not_found()) return std::unexpected(std::move(fd.error()));
  }
  return std::nullopt;
}

// Links are followed: whoever writes in this folder is the node's administrator.
Result<std::string> read_text(FdRef folder, const std::string& path, std::size_t limit) {
  auto file = sys::openat(folder, path.c_str(), O_RDONLY);
  if (!file) return std::unexpected(std::move(file.error()));
  auto text = sys::read_all(*file, limit);
  if (!text) return fail_with(std::move(text.error()), path);
  return text;
}

std::string below(const std::string& folder, const std::string& path) {
  return path.empty() || path.starts_with('/') ? path : cat(folder, "/", path);
}

Result<TlsSettings> read_tls(const HostEntry& entry, const std::string& folder) {
  TlsSettings tls;
  tls.verify = entry.verify;
  tls.certificate = below(folder, entry.certificate);
  tls.key = below(folder, entry.key);
  for (const std::string& file : entry.authorities) {
    auto text = read_text(sys::kCwd, below(folder, file), kMaxAuthorities);
    if (!text) return std::unexpected(std::move(text.error()));
    tls.authorities += *text + "\n";
    if (tls.authorities.size() > kMaxAuthorities)
      return invalid_argument(cat(folder, ": authorities of more than ", kMaxAuthorities, " bytes"));
  }
  return tls;
}

// The folder's hosts.toml, or what its other files say in its place.
Result<std::vector<HostEntry>> read_entries(const Folder& folder) {
  auto text = read_text(folder.fd, "hosts.toml", kMaxHostsFile);
  if (text) {
    auto entries = parse_hosts_file(*text);
    if (!entries) return fail_with(std::move(entries.error()), cat(folder.path, "/hosts.toml"));
    return entries;
  }
  if (!text.error().is_not_found()) return fail_with(std::move(text.error()), folder.path);
  auto names = sys::list_dir(folder.fd);
  if (!names) return fail_with(std::move(names.error()), folder.path);
  std::ranges::sort(*names);
  HostEntry entry;
  for (const std::string& name : *names) {
    if (name.ends_with(".crt")) entry.authorities.push_back(name);
    if (!name.ends_with(".cert")) continue;
    const std::string key = name.substr(0, name.size() - 5) + ".key";
    if (!entry.certificate.empty())
      return invalid_argument(cat(folder.path, ": more than one *.cert, and only one can be shown"));
    if (!std::ranges::binary_search(*names, key))
      return invalid_argument(cat(folder.path, "/", name, ": expected its key in ", key));
    entry.certificate = name;
    entry.key = key;
  }
  return std::vector<HostEntry>{std::move(entry)};
}

// The one registry whose references name another host than its own.
constexpr std::string_view kDockerHosts[] = {"index.docker.io", "registry-1.docker.io", "docker.io"};

Result<RegistryHost> own_host(std::string_view domain) {
  auto origin = origin_of(cat("https://", domain == "docker.io" ? kDockerHosts[0] : domain));
  if (!origin) return std::unexpected(std::move(origin.error()));
  RegistryHost host;
  host.origin = std::move(*origin);
  return host;
}

// By HTTPS or not, and also when it is written with its port: it is who the reference names.
bool is_own(const Origin& origin, const Origin& own, std::string_view domain) {
  if (domain == "docker.io") return std::ranges::find(kDockerHosts, origin.name()) != std::end(kDockerHosts);
  return origin.name() == own.name();
}

Status set_place(const HostEntry& entry, std::string_view domain, RegistryHost& host) {
  const std::string url = entry.url.find("://") == std::string::npos ? cat("https://", entry.url) : entry.url;
  auto origin = origin_of(url);
  if (!origin) return std::unexpected(std::move(origin.error()));
  if (url.find_first_of("?#") != std::string::npos)
    return invalid_argument(cat(in_quotes(url), ": expected a URL without ? and #"));
  const std::size_t slash = url.find('/', url.find("://") + 3);
  std::string path = slash == std::string::npos ? "" : url.substr(slash);
  while (path.ends_with('/')) path.pop_back();
  if (!entry.override_path && !path.ends_with("/v2")) path += "/v2";
  host.is_mirror = !is_own(*origin, host.origin, domain);
  host.origin = std::move(*origin);
  host.path = std::move(path);
  return {};
}

Result<RegistryHost> host_of(const HostEntry& entry, const std::string& folder, std::string_view domain) {
  auto host = own_host(domain);
  if (!host) return host;
  auto tls = read_tls(entry, folder);
  if (!tls) return std::unexpected(std::move(tls.error()));
  host->tls = std::move(*tls);
  if (!entry.url.empty()) {
    if (auto set = set_place(entry, domain, *host); !set) return std::unexpected(std::move(set.error()));
  } else if (host->origin.is_loopback() && host->origin.port != "443" && host->tls == TlsSettings()) {
    host->origin = *origin_of(cat("http://", domain));
  }
  host->pulls = entry.pulls;
  host->resolves = entry.resolves;
  host->pushes = entry.pushes;
  host->headers = entry.headers;
  host->dial_timeout = entry.dial_timeout;
  host->proxy = entry.proxy;
  return host;
}

}  // namespace

std::string RegistryHost::name() const { return cat(is_mirror ? "mirror " : "registry ", origin.name()); }

Result<std::vector<RegistryHost>> registry_hosts(const std::string& root, std::string_view domain) {
  auto folder = find_folder(root, domain, true);
  if (!folder) return std::unexpected(std::move(folder.error()));
  Result<std::vector<HostEntry>> entries = std::vector<HostEntry>(1);
  if (*folder) entries = read_entries(**folder);
  if (!entries) return std::unexpected(std::move(entries.error()));
  const std::string path = *folder ? (*folder)->path : "";
  std::vector<RegistryHost> out;
  for (const HostEntry& entry : *entries) {
    auto host = host_of(entry, path, domain);
    if (!host && *folder) return fail_with(std::move(host.error()), path);
    if (!host) return std::unexpected(std::move(host.error()));
    out.push_back(std::move(*host));
  }
  return out;
}

Result<std::optional<TlsSettings>> tls_settings_of(const std::string& root, const Origin& origin) {
  auto folder = find_folder(root, origin.name(), false);
  if (!folder) return std::unexpected(std::move(folder.error()));
  if (!*folder) return std::nullopt;
  auto entries = read_entries(**folder);
  if (!entries) return std::unexpected(std::move(entries.error()));
  for (const HostEntry& entry : *entries) {
    auto host = host_of(entry, (*folder)->path, origin.name());
    if (!host) return fail_with(std::move(host.error()), (*folder)->path);
    if (host->origin == origin) return std::move(host->tls);
  }
  return std::nullopt;
}

}  // namespace gantry::images
