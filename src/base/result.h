// SPDX-License-Identifier: Apache-2.0
// How a call says that it failed. Result<T> is a value or an Error; nothing here throws, and an Error is a plain value
// that may cross threads. Callers branch on predicates (is_not_found() and so on), never on text; the text is for
// people, and reads from the outside in: "start container \"web\": mount /dev: fsopen tmpfs: Operation not permitted".
//
// Codes are gRPC's canonical ones (the numbers are theirs), so that an edge maps an Error in one place.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace gantry {

enum class Code {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// "INVALID_ARGUMENT" and so on.
std::string_view to_string(Code code);

// The canonical code that an errno stands for; kInternal for one that names no condition a caller could act on.
Code code_from_errno(int error);

class Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  // A failed system call. `what` is the call and what it was asked of: "openat2 etc/passwd".
  // The message becomes `what` + ": " + the errno's text.
  static Error from_errno(int error, std::string_view what);

  Code code() const { return code_; }
  // The errno of the system call at the bottom; 0 when there was none.
  int sys() const { return sys_; }
  const std::string& message() const { return message_; }

  // The same error with `what` + ": " before its message.
  Error with_context(std::string_view what) &&;
  Error with_context(std::string_view what) const&;
  // The same error under another code, for an edge that knows better what it means to its callers.
  Error with_code(Code code) &&;

  bool is_not_found() const { return code_ == Code::kNotFound; }
  bool is_already_exists() const { return code_ == Code::kAlreadyExists; }
  bool is_invalid() const { return code_ == Code::kInvalidArgument; }
  bool is_privilege() const { return code_ == Code::kPermissionDenied; }
  bool is_not_supported() const { return code_ == Code::kUnimplemented; }
  bool is_resource() const { return code_ == Code::kResourceExhausted; }
  bool is_cancelled() const { return code_ == Code::kCancelled; }
  bool is_deadline() const { return code_ == Code::kDeadlineExceeded; }
  // The process, device or peer that was asked is no longer there.
  bool is_gone() const;
  // A non-blocking call had nothing to do now.
  bool is_would_block() const;

 private:
  Code code_;
  int sys_ = 0;
  std::string message_;
};

template <typename T>
using Result = std::expected<T, Error>;

// A Result without a value.
using Status = Result<void>;

inline std::unexpected<Error> fail(Code code, std::string message) {
  return std::unexpected(Error(code, std::move(message)));
}
inline std::unexpected<Error> invalid_argument(std::string message) {
  return fail(Code::kInvalidArgument, std::move(message));
}
inline std::unexpected<Error> not_found(std::string message) { return fail(Code::kNotFound, std::move(message)); }

// Passes an error on with the words of this caller before it: return fail_with(result.error(), "mount /dev").
inline std::unexpected<Error> fail_with(Error&& error, std::string_view what) {
  return std::unexpected(std::move(error).with_context(what));
}
inline std::unexpected<Error> fail_with(const Error& error, std::string_view what) {
  return std::unexpected(error.with_context(what));
}

}  // namespace gantry
