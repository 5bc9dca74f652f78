#include "dist/heartbeat_socket.h"

#include "core/elapsed.h"
#include "tests/support/catch.h"

namespace lococo {
namespace {

using Datagrams = std::vector<std::string>;

}  // namespace

TEST_CASE("Datagrams reach all peers, by 127.0.0.1 or by the name of this host",
          "[dist][heartbeat]") {
  for (const bool same_host : {true, false}) {
    HeartbeatSocket first(same_host), second(same_host), third(same_host);
    // A machine's own name need not be known to itself; others then do not know it either.
    if (!first.set_peers({second.address(), third.address()}).empty())
      SKIP("this host has no name");
    first.send_to_all("one");
    first.send_to_all("two");
    for (HeartbeatSocket* peer : {&second, &third}) {
      Datagrams got = peer->receive(5);
      while (got.size() < 2) {
        const Datagrams more = peer->receive(5);
        REQUIRE_FALSE(more.empty());
        got.insert(got.end(), more.begin(), more.end());
      }
      CHECK(got == Datagrams{"one", "two"});
    }
  }
}

TEST_CASE("Peers that cannot be reached do not stop the others' datagrams", "[dist][heartbeat]") {
  HeartbeatSocket alive(true), sender(true);
  std::string dead;
  { dead = HeartbeatSocket(true).address(); }
  CHECK(sender.set_peers({"no-such-host.invalid 9", dead, alive.address()}) ==
        Datagrams{"no-such-host.invalid"});
  for (int i = 0; i < 3; ++i) sender.send_to_all("x");
  CHECK(alive.receive(5).size() >= 1);
}

TEST_CASE("Where nothing comes receiving ends after its time", "[dist][heartbeat]") {
  HeartbeatSocket lonely(true);
  const auto begin = steady_now();
  CHECK(lonely.receive(0.05).empty());
  CHECK(seconds_since(begin) >= 0.04);
}

}  // namespace lococo
