// Datagrams between all ranks of a run, of one host or many, that need neither MPI nor anything
// else that may be what hangs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace lococo {

/// UDP (IPv4) on a port that the system chooses. What is lost is not sent again, and a rank that
/// cannot be reached is no error.
class HeartbeatSocket {
 public:
  /// `same_host`: all ranks are on this one, and nobody else can send. Throws UserError when there
  /// is no socket to be had.
  explicit HeartbeatSocket(bool same_host);
  ~HeartbeatSocket();
  HeartbeatSocket(const HeartbeatSocket&) = delete;
  HeartbeatSocket& operator=(const HeartbeatSocket&) = delete;

  /// Where others send: "HOST PORT".
  const std::string& address() const { return address_; }

  /// The others' addresses. Returns those that cannot be looked up.
  std::vector<std::string> set_peers(const std::vector<std::string>& addresses);

  void send_to_all(const std::string& datagram);

  /// What has come by now; where nothing has, what comes within `seconds`.
  std::vector<std::string> receive(double seconds);

 private:
  struct Peers;

  int socket_ = -1;
  std::string address_;
  std::unique_ptr<Peers> peers_;
};

}  // namespace lococo
