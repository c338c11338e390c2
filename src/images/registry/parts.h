// SPDX-License-Identifier: Apache-2.0
// How the connections of one pull share what there is to fetch. Each blob has one who takes it in order (the owner:
// RegistryClient::blob). A connection that no blob needs for itself helps with a big one: it fetches a part that lies
// further on into the blob's file, from where the owner takes it when he comes there. So memory holds none of it.
//
// Helping gains nothing where the disk or the unpacking is what an owner waits for, or where a server sends as fast to
// one connection as to several; so an owner asks for help only when the network is what he waits for, and the rest
// would take a while. A part that does not come is a gap again, which the owner fetches with all his patience; after a
// few of them, or when the server knows no ranges, he is left alone. What came is right or wrong by the blob's digest
// and by nothing else.
//
// Any thread. Internal to src/images/registry.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "images/digest.h"

namespace gantry::images {

class HostAccess;

class PartBoard {
 public:
  static constexpr std::uint64_t kPartBytes = 8U << 20;
  // Helpers are no further ahead of the owner.
  static constexpr std::uint64_t kMostAhead = 8 * kPartBytes;
  static constexpr int kMostFailures = 3;

  explicit PartBoard(std::size_t connections) : free_(connections) {}

  struct Shared;  // of one blob

  // What a helper must know of it.
  struct Offer {
    HostAccess* host = nullptr;  // which sends it to the owner
    Digest digest;
    std::string etag;  // of the owner's answer; "" for none
    OwnFd file;        // to write to
  };

  // The owner's side. He holds a connection from connect() on, except while ready() waits.
  class Blob {
   public:
    Blob(PartBoard& board, std::uint64_t size);
    ~Blob();
    Blob(const Blob&) = delete;
    Blob& operator=(const Blob&) = delete;

    // Waits for a connection; before helpers get one, those who wait here do. kCancelled when `stop` is asked for.
    Status connect(const std::stop_token& stop);
    // From now on helpers may come.
    void offer(Offer&& offer);
    bool is_offered();
    // For an owner who has all up to `front` and fetches on: where the next part begins that is another's, or the
    // blob's end. It may be less the next time.
    std::uint64_t gap_end(std::uint64_t front);
    // How many bytes a helper has brought from `front` on; waits for the first of a part that is coming. 0: a gap.
    Result<std::uint64_t> ready(std::uint64_t front, const std::stop_token& stop);
    // All begins anew, and nobody helps any more.
    void withdraw();

   private:
    PartBoard& board_;
    std::uint64_t size_;
    std::shared_ptr<Shared> shared_;
    bool is_connected_ = false;
  };

  // The helper's side.
  struct Part {
    std::shared_ptr<Shared> blob;
    const Offer* offer = nullptr;  // lives as long as `blob`
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };
  // Waits for a part to fetch and a connection to do it with; nothing after end().
  std::optional<Part> take_part();
  // The next so many bytes of it are in the file. False: nobody wants them any more.
  bool came(const Part& part, std::uint64_t bytes);
  // It is over; what is missing of it is a gap. `is_useless`: another would not come either.
  void ended(const Part& part, bool is_useless);
  void end();

 private:
  std::optional<Part> next_part();

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::size_t free_;         // connections
  std::size_t waiting_ = 0;  // owners, for one
  bool is_over_ = false;
  std::vector<std::shared_ptr<Shared>> offered_;
};

}  // namespace gantry::images
