// SPDX-License-Identifier: Apache-2.0
// Who owns a file descriptor. OwnFd owns one and closes it; FdRef names one that somebody else owns, for the length of
// a call. Neither turns into an int or a bool by itself. Kinds of descriptor are types of their own (DirFd, PidFd,
// ...), so that a pidfd can't be handed to openat. Every descriptor in the project is close-on-exec from birth.
#pragma once

#include <utility>

#include "base/result.h"

namespace gantry {

class FdRef {
 public:
  constexpr FdRef() = default;
  constexpr explicit FdRef(int fd) : fd_(fd) {}
  constexpr int get() const { return fd_; }
  constexpr bool is_open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

class OwnFd {
 public:
  OwnFd() = default;
  explicit OwnFd(int fd) : fd_(fd) {}
  OwnFd(OwnFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnFd& operator=(OwnFd other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OwnFd();

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  FdRef ref() const { return FdRef(fd_); }
  operator FdRef() const { return FdRef(fd_); }  // NOLINT: a reference to what we own is always fine to lend

  // Gives the number away: from here on the caller closes it. Rare; the callers are posix_spawn and libnl.
  int release() { return std::exchange(fd_, -1); }
  void close() { *this = OwnFd(); }
  // duplicate() of what it owns.
  Result<OwnFd> duplicate() const;

 private:
  int fd_ = -1;
};

// A second descriptor for the same open file, close-on-exec, never below 3.
Result<OwnFd> duplicate(FdRef fd);

// A kind of descriptor. The tag keeps kinds apart; all of them lend themselves as FdRef.
template <typename Tag>
class TypedFd : public OwnFd {
 public:
  TypedFd() = default;
  explicit TypedFd(int fd) : OwnFd(fd) {}
  explicit TypedFd(OwnFd&& fd) : OwnFd(std::move(fd)) {}
};

using DirFd = TypedFd<struct DirFdTag>;      // a folder, O_PATH or readable: what *at() calls start from
using PidFd = TypedFd<struct PidFdTag>;      // a process
using NsFd = TypedFd<struct NsFdTag>;        // a namespace
using MountFd = TypedFd<struct MountFdTag>;  // a detached mount; it dies with the descriptor unless attached
using SocketFd = TypedFd<struct SocketFdTag>;

}  // namespace gantry
