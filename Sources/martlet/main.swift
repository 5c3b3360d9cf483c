// The server's executable: reads the configuration, runs the server until a signal, ends as etcd ends.

import Datastore

MartletServer.main()
