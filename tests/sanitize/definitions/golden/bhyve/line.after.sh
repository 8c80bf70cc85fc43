sudo bhyve -c 1 -m 512M -s 0,hostbridge -s 2,virtio-net,netgraph,path=bridge:,peerhook=link2,mac=58:9c:fc:00:00:01 -s 3,virtio-blk,/vm/golden.raw -s 31,lpc -l com1,stdio web-01
