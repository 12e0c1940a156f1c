mod handshake;
mod state_machine;
