/* How fast the load client itself is. */
#ifndef LIMIT_H
#define LIMIT_H

/* Takes so many updates of a size from a WebSocket that has them ready, and prints their rate. */
void print_limit(long count, long size);

#endif
