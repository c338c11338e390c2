// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_seccomp.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstring>

#include "base/bytes.h"
#include "base/text.h"
#include "cli/oci_container.h"
#include "sys/file.h"
#include "sys/folders.h"

namespace gantry::cli {
namespace {

constexpr std::size_t kMostPrograms = 64;
constexpr std::size_t kMaxFile = 3 * runtime::kMaxSeccompProfileBytes;

// The linker's name for exactly this program; empty when it gave none.
std::string build_id() {
  auto* header = reinterpret_cast<const ElfW(Phdr)*>(::getauxval(AT_PHDR));
  std::uintptr_t base = 0;  // where it was loaded, when it may be anywhere
  for (unsigned long left = ::getauxval(AT_PHNUM); left > 0; --left, ++header) {
    if (header->p_type == PT_PHDR) base = reinterpret_cast<std::uintptr_t>(header) - header->p_vaddr;
    if (header->p_type != PT_NOTE) continue;
    const char* at = reinterpret_cast<const char*>(base + header->p_vaddr);
    const char* end = at + header->p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof(note));
      const char* name = at + sizeof(note);
      const char* value = name + (note.n_namesz + 3) / 4 * 4;
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0)
        return std::string(value, note.n_descsz);
      at = value + (note.n_descsz + 3) / 4 * 4;
    }
  }
  return "";
}

// Two different keys of one name cost a compilation now and then, and nothing else: FNV-1a will do.
std::string file_name(std::string_view key) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return std::to_string(hash);
}

Result<OwnFd> open_folder(const std::string& path) {
  auto dir = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir) return dir;
  auto info = sys::fstat(*dir);
  if (!info) return std::unexpected(std::move(info.error()));
  if (info->st_uid == ::geteuid() && (info->st_mode & 077) == 0) return dir;
  return fail(Code::kPermissionDenied, cat(path, " is open to others"));
}

}  // namespace

SeccompFolder::SeccompFolder(std::string root) : path_(std::move(root)) {
  path_ += "/seccomp:1";
  // The compiler is this program; and what a profile means may hang on the kernel.
  utsname kernel{};
  std::string id = build_id();
  if (!id.empty() && ::uname(&kernel) == 0) origin_ = cat(id, " ", kernel.release, " ");
}

std::optional<runtime::SeccompPlan> SeccompFolder::find(std::string_view key) {
  if (origin_.empty()) return std::nullopt;
  auto dir = open_folder(path_);
  if (!dir) return std::nullopt;
  std::string whole = cat(origin_, key);
  auto text = sys::read_file(*dir, file_name(whole).c_str(), kMaxFile);
  if (!text) return std::nullopt;
  ByteReader reader(*text);
  std::string_view of = reader.string();
  runtime::SeccompPlan plan;
  auto& [program, flags, agent] = plan;
  flags = reader.integer<std::uint32_t>();
  program = reader.string();
  agent.path = reader.string();
  agent.metadata = reader.string();
  if (!reader.ok() || of != whole) return std::nullopt;
  return plan;
}

void SeccompFolder::keep(std::string_view key, const runtime::SeccompPlan& plan) {
  if (origin_.empty() || !sys::make_folders(path_, 0700)) return;
  auto dir = open_folder(path_);
  if (!dir) return;
  auto names = sys::list_dir(*dir);
  if (!names) return;
  if (names->size() >= kMostPrograms) {
    for (const std::string& name : *names) (void)sys::unlinkat(*dir, name.c_str(), 0);
  }
  const auto& [program, flags, agent] = plan;
  std::string whole = cat(origin_, key);
  ByteWriter writer;
  writer.string(whole);
  writer.integer(flags);
  writer.string(program);
  writer.string(agent.path);
  writer.string(agent.metadata);
  // One that could not be kept is made again.
  (void)replace_file(*dir, file_name(whole), writer.bytes(), 0600);
}

}  // namespace gantry::cli
