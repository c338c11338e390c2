// SPDX-License-Identifier: Apache-2.0
#include "agent/certificate_store.h"

#include <fcntl.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "agent/node_key.h"
#include "base/text.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/given_files.h"
#include "sys/private_file.h"

namespace gantry::agent {

namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr std::size_t kKept = 2;  // files of one name

Status point_link(FdRef folder, const std::string& link, const std::string& target) {
  const std::string next = link + ".new";
  if (auto gone = sys::unlinkat(folder, next.c_str(), 0); !gone && !gone.error().is_not_found()) return gone;
  if (auto made = sys::symlinkat(target.c_str(), folder, next.c_str()); !made) return made;
  if (auto renamed = sys::renameat2(folder, next.c_str(), folder, link.c_str(), 0); !renamed) return renamed;
  return sys::sync_folder(folder);
}

std::string time_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d-%H-%M-%S", &parts);
  return text;
}

}  // namespace

Result<std::optional<StoredCertificate>> CertificateStore::current() const {
  auto text = sys::read_given(current_path(), kMaxBytes);
  if (!text && text.error().is_not_found()) return std::nullopt;
  if (!text) return std::unexpected(std::move(text.error()));
  if (auto good = read_certificate(*text, *text); !good) return fail_with(std::move(good.error()), current_path());
  return StoredCertificate{*text, *text};
}

Status CertificateStore::put(std::string_view certificate_pem, std::string_view key_pem) {
  if (auto made = sys::mkdirat(sys::kCwd, folder_.c_str(), 0755); !made && !made.error().is_already_exists()) {
    return fail_with(std::move(made.error()), folder_);
  }
  auto folder = sys::open_dir(sys::kCwd, folder_.c_str());
  if (!folder) return fail_with(std::move(folder.error()), folder_);
  // Of one second there may be several, which must not be taken for each other.
  const std::string stem = cat(name_, "-", time_text());
  std::string name = stem + ".pem";
  for (int i = 1; i < 100 && sys::fstatat(*folder, name.c_str(), AT_SYMLINK_NOFOLLOW); ++i) {
    name = cat(stem, "-", i < 10 ? "0" : "", i, ".pem");
  }
  if (auto written = sys::write_private_file(*folder, name, cat(certificate_pem, key_pem)); !written) {
    return fail_with(std::move(written.error()), folder_);
  }
  if (auto linked = point_link(*folder, current_name(), name); !linked) {
    return fail_with(std::move(linked.error()), current_path());
  }
  auto entries = sys::list_dir(*folder);
  if (!entries) return fail_with(std::move(entries.error()), folder_);
  std::vector<std::string> old;
  for (const auto& entry : *entries) {
    if (entry.starts_with(name_ + "-2") && entry.ends_with(".pem") && entry != name) old.push_back(entry);
  }
  std::ranges::sort(old);
  for (std::size_t i = 0; i + kKept <= old.size(); ++i) (void)sys::unlinkat(*folder, old[i].c_str(), 0);
  return {};
}

Status CertificateStore::forget() {
  auto folder = sys::open_dir(sys::kCwd, folder_.c_str());
  if (!folder && folder.error().is_not_found()) return {};
  if (!folder) return fail_with(std::move(folder.error()), folder_);
  auto gone = sys::unlinkat(*folder, current_name().c_str(), 0);
  if (!gone && gone.error().is_not_found()) return {};
  if (gone) gone = sys::sync_folder(*folder);
  return gone ? gone : fail_with(std::move(gone.error()), current_path());
}

}  // namespace gantry::agent
