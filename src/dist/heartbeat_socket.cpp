#include "dist/heartbeat_socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "core/error.h"

namespace lococo {
namespace {

constexpr size_t kLargestDatagram = 65536;

std::string own_host() {
  char host[256] = {};
  return gethostname(host, sizeof host - 1) == 0 ? host : "localhost";
}

}  // namespace

struct HeartbeatSocket::Peers {
  std::vector<sockaddr_in> addresses;
};

HeartbeatSocket::HeartbeatSocket(bool same_host) : peers_(std::make_unique<Peers>()) {
  socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in own = {};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(same_host ? INADDR_LOOPBACK : INADDR_ANY);
  socklen_t length = sizeof own;
  auto* plain = reinterpret_cast<sockaddr*>(&own);
  if (socket_ < 0 || bind(socket_, plain, length) != 0 ||
      getsockname(socket_, plain, &length) != 0) {
    throw UserError(std::string("distributed.timeout_s: no UDP socket to watch the ranks with (") +
                    std::strerror(errno) + "); 0 runs without");
  }
  address_ = (same_host ? "127.0.0.1" : own_host()) + " " + std::to_string(ntohs(own.sin_port));
}

HeartbeatSocket::~HeartbeatSocket() { close(socket_); }

std::vector<std::string> HeartbeatSocket::set_peers(const std::vector<std::string>& addresses) {
  std::vector<std::string> unknown;
  for (const std::string& address : addresses) {
    const size_t space = address.find(' ');
    addrinfo hints = {};
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_DGRAM;
    addrinfo* found = nullptr;
    const std::string host = address.substr(0, space), port = address.substr(space + 1);
    if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0 || found == nullptr) {
      unknown.push_back(host);
      continue;
    }
    sockaddr_in peer = {};
    std::memcpy(&peer, found->ai_addr, sizeof peer);
    peers_->addresses.push_back(peer);
    freeaddrinfo(found);
  }
  return unknown;
}

void HeartbeatSocket::send_to_all(const std::string& datagram) {
  for (const sockaddr_in& peer : peers_->addresses) {
    sendto(socket_, datagram.data(), datagram.size(), MSG_NOSIGNAL,
           reinterpret_cast<const sockaddr*>(&peer), sizeof peer);
  }
}

std::vector<std::string> HeartbeatSocket::receive(double seconds) {
  pollfd waiting = {socket_, POLLIN, 0};
  poll(&waiting, 1, static_cast<int>(std::ceil(seconds * 1000)));
  std::vector<std::string> datagrams;
  std::string buffer(kLargestDatagram, '\0');
  for (;;) {
    const ssize_t bytes = recv(socket_, buffer.data(), buffer.size(), 0);
    if (bytes < 0 && (errno == EINTR || errno == ECONNREFUSED)) continue;
    if (bytes < 0) return datagrams;
    datagrams.push_back(buffer.substr(0, static_cast<size_t>(bytes)));
  }
}

}  // namespace lococo
