// A replica that applies dumps to its own L2.
#ifndef LARDER_REPLICATION_LIVE_RECEIVER_H_
#define LARDER_REPLICATION_LIVE_RECEIVER_H_

#include <memory>

#include "replication/dump_receiver.h"
#include "replication/live_l2.h"

namespace larder::replication {

// A dump comes as into an archive, is checked wholly, and is then applied. Its
// Publish() is LiveL2::Apply(). Borrows `live`, which must outlive it.
std::unique_ptr<DumpReceiver> MakeLiveReceiver(LiveL2* live);

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_LIVE_RECEIVER_H_
