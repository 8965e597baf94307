//! What the two processes tell each other: the sockets first, and then a line at a time.

use std::io::{IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::SuccessionError;

/// The listening sockets, each under the address that the file gives it. That may have port 0, so the socket's own address
/// would not tell what it is for.
#[derive(Debug)]
pub(in crate::proxy) struct Estate {
    pub(in crate::proxy) listeners: Vec<(SocketAddr, TcpListener)>,
    pub(in crate::proxy) admin: (SocketAddr, TcpListener),
}

/// What is said about the sockets that come with it, in their order: the listeners and then the admin listener.
#[derive(Debug, Serialize, Deserialize)]
struct Inventory {
    version: u32,
    listeners: Vec<SocketAddr>,
    admin: SocketAddr,
}

/// The protocol that is spoken here.
const VERSION: u32 = 1;

/// Linux passes no more files with one message (`SCM_MAX_FD`).
const MOST_SOCKETS: usize = 253;

/// The longest inventory: an address takes at most 60 bytes.
const LONGEST_INVENTORY: usize = 64 << 10;

impl Estate {
    /// Sends the sockets. They stay open here.
    pub(super) fn send(&self, to: &UnixStream) -> Result<(), SuccessionError> {
        let listeners = self.listeners.iter().map(|(address, _)| *address).collect();
        let inventory = Inventory { version: VERSION, listeners, admin: self.admin.0 };
        let mut line = serde_json::to_vec(&inventory).map_err(std::io::Error::from)?;
        line.push(b'\n');
        let sockets: Vec<_> =
            self.listeners.iter().chain([&self.admin]).map(|(_, socket)| socket.as_fd()).collect();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(sockets.len()))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        if !rights.push(SendAncillaryMessage::ScmRights(&sockets)) || sockets.len() > MOST_SOCKETS {
            return Err(SuccessionError::Protocol("there are too many listeners to hand over"));
        }
        let sent = sendmsg(to, &[IoSlice::new(&line)], &mut rights, SendFlags::NOSIGNAL)
            .map_err(std::io::Error::from)?;
        let mut to = to;
        to.write_all(line.get(sent..).unwrap_or_default())?;
        Ok(())
    }

    /// Receives the sockets.
    pub(super) fn receive(from: &UnixStream) -> Result<Self, SuccessionError> {
        let mut sockets = Vec::new();
        let mut text = Vec::new();
        while !text.ends_with(b"\n") {
            let mut piece = [0; 4096];
            let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
            let mut rights = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC;
            let length = recvmsg(from, &mut [IoSliceMut::new(&mut piece)], &mut rights, flags)
                .map_err(std::io::Error::from)?
                .bytes;
            for message in rights.drain() {
                if let RecvAncillaryMessage::ScmRights(files) = message {
                    sockets.extend(files.map(|file: OwnedFd| TcpListener::from(file)));
                }
            }
            text.extend_from_slice(piece.get(..length).unwrap_or_default());
            if length == 0 || text.len() > LONGEST_INVENTORY {
                return Err(SuccessionError::Protocol("the sockets did not come"));
            }
        }
        let inventory: Inventory = serde_json::from_slice(&text)
            .map_err(|_| SuccessionError::Protocol("the list of sockets cannot be read"))?;
        let Inventory { version, listeners, admin } = inventory;
        if version != VERSION {
            return Err(SuccessionError::Protocol("it speaks another version of it"));
        }
        if sockets.len() != listeners.len() + 1 {
            return Err(SuccessionError::Protocol("there are not as many sockets as it said"));
        }
        let admin_socket = sockets.pop().ok_or(SuccessionError::Protocol("there is no admin socket"))?;
        Ok(Self { listeners: listeners.into_iter().zip(sockets).collect(), admin: (admin, admin_socket) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    #[test]
    fn sockets_arrive_under_the_address_that_they_were_sent_with() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        for count in [0, 1, 3, 200] {
            let (old, new) = UnixStream::pair().unwrap();
            let listeners: Vec<_> = (0..count).map(|_| (any, bound())).collect();
            let estate = Estate { listeners, admin: ("127.0.0.1:9180".parse().unwrap(), bound()) };
            estate.send(&old).unwrap();
            let received = Estate::receive(&new).unwrap();
            let addresses = |estate: &Estate| -> Vec<_> {
                let all = estate.listeners.iter().chain([&estate.admin]);
                all.map(|(named, socket)| (*named, socket.local_addr().unwrap())).collect()
            };
            assert_eq!(addresses(&received), addresses(&estate), "{count}");
        }
    }

    #[test]
    fn what_is_no_list_of_sockets_is_refused() {
        for text in [
            "",
            "\n",
            "{}\n",
            "{\"version\":2,\"listeners\":[],\"admin\":\"127.0.0.1:1\"}\n",
            "{\"version\":1,\"listeners\":[],\"admin\":\"127.0.0.1:1\"}\n",
            "{\"version\":1,\"listeners\":[",
        ] {
            let (mut old, new) = UnixStream::pair().unwrap();
            old.write_all(text.as_bytes()).unwrap();
            drop(old);
            assert!(matches!(Estate::receive(&new), Err(SuccessionError::Protocol(_))), "{text}");
        }
        let (mut old, new) = UnixStream::pair().unwrap();
        let writing = std::thread::spawn(move || old.write_all(&vec![b' '; LONGEST_INVENTORY + 4096]));
        assert!(matches!(Estate::receive(&new), Err(SuccessionError::Protocol(_))));
        writing.join().unwrap().unwrap();
    }

    #[test]
    fn more_than_the_system_passes_at_once_is_refused() {
        let (old, _new) = UnixStream::pair().unwrap();
        let socket = bound();
        let again = || ("127.0.0.1:0".parse().unwrap(), socket.try_clone().unwrap());
        let estate = Estate { listeners: (0..MOST_SOCKETS).map(|_| again()).collect(), admin: again() };
        assert!(matches!(estate.send(&old), Err(SuccessionError::Protocol(_))));
    }
}
