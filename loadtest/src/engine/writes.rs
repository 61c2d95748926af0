//! What clients write: messages, membership changes, answers.

use std::time::Duration;

use squall_protocol::link::RefusalCode;
use squall_protocol::{ClientMessage, CloseCode, Destination, MessageId, SendId, Sequence, UserId};

use super::Engine;
use super::content::Origin;
use super::ending::Ending;
use super::outbox::{Outbox, What, Write};
use super::timers::Due;
use crate::moment::Moment;

impl Engine {
    /// Puts a message on its socket.
    pub(super) fn say(&mut self, index: u32, message: &ClientMessage, now: Moment) {
        let codec = self.clients[index as usize].codec;
        let payload = codec.encode_client(message);
        self.write_frame(index, now, |masks, out| masks.message(codec, &payload, out));
    }

    pub(super) fn write_pong(&mut self, index: u32, payload: &[u8], now: Moment) {
        self.write_frame(index, now, |masks, out| masks.pong(payload, out));
    }

    pub(super) fn write_close(&mut self, index: u32, now: Moment) {
        self.write_frame(index, now, |masks, out| masks.close(CloseCode::Normal.number(), out));
    }

    fn write_frame(&mut self, index: u32, now: Moment, frame: impl FnOnce(&mut super::Masks, &mut Vec<u8>)) {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        frame(&mut self.masks, &mut out);
        self.write(index, &out, now);
        self.out = out;
    }

    /// Puts bytes on its socket; a socket that takes none any more has ended.
    pub(super) fn write(&mut self, index: u32, bytes: &[u8], now: Moment) {
        match self.clients[index as usize].write(bytes) {
            Ok(written) => self.tally.bytes_written += written as u64,
            Err(_) => self.end(index, Ending::Broken, now),
        }
    }

    pub(super) fn flush(&mut self, index: u32) {
        match self.clients[index as usize].flush() {
            Ok(written) => self.tally.bytes_written += written as u64,
            Err(_) => self.end(index, Ending::Broken, Moment::now()),
        }
    }

    /// Has a client write something, due then; it goes out when it can. False if too much waits already.
    pub(super) fn make(&mut self, index: u32, due: Moment, what: What, now: Moment) -> bool {
        let number = self.next_number;
        self.next_number += 1;
        let client = &mut self.clients[index as usize];
        let outbox = client.outbox.get_or_insert_with(|| Box::new(Outbox::new(self.in_flight_max)));
        let is_taken = outbox.add(number, due, what).is_ok();
        self.pump(index, now);
        is_taken
    }

    /// Puts on the wire what may go out now.
    pub(super) fn pump(&mut self, index: u32, now: Moment) {
        let client = &mut self.clients[index as usize];
        if !client.is_open() {
            return;
        }
        let generation = client.generation;
        let Some(mut outbox) = client.outbox.take() else { return };
        while self.clients[index as usize].generation == generation
            && let Some(write) = outbox.poll_transmit(now)
        {
            if write.what.is_message() && !write.is_copy {
                let counter = if write.times > 1 {
                    &mut self.tally.sends_repeated
                } else {
                    &mut self.tally.sends_written
                };
                *counter += 1;
            }
            if let Some(message) = self.message(write) {
                self.say(index, &message, now);
            }
        }
        let client = &mut self.clients[index as usize];
        if client.generation == generation {
            outbox.deadline().into_iter().for_each(|at| self.timers.set(at, index, generation, Due::Pump));
        } else {
            outbox.pause();
        }
        client.outbox = (!outbox.is_empty()).then_some(outbox);
    }

    fn message(&self, write: &Write) -> Option<ClientMessage> {
        let origin = Origin { worker: self.plan.worker, number: write.number };
        let send_id = origin.send_id(&self.plan.tag)?;
        let content = || origin.content(&self.plan.tag, write.due, self.plan.payload_bytes);
        Some(match &write.what {
            What::Stream { stream_id, topic } => {
                let to = Destination::Stream { stream_id: *stream_id, topic: topic_name(*topic) };
                ClientMessage::Send { send_id, to, content: content() }
            }
            What::Direct { user_ids } => {
                let to = Destination::Direct { user_ids: user_ids.to_vec() };
                ClientMessage::Send { send_id, to, content: content() }
            }
            What::Subscribe { stream_id, user_ids } => {
                ClientMessage::Subscribe { send_id, stream_id: *stream_id, user_ids: user_ids.to_vec() }
            }
            What::Unsubscribe { stream_id } => {
                ClientMessage::Unsubscribe { send_id, stream_id: *stream_id, user_ids: Vec::new() }
            }
        })
    }

    pub(super) fn handle_sent(
        &mut self,
        index: u32,
        send_id: &SendId,
        message_id: MessageId,
        sequence: Sequence,
        now: Moment,
    ) {
        let Some(write) = self.answered(index, send_id, What::is_message) else { return };
        self.recorder.sent(index, send_id, message_id, sequence);
        if !write.is_copy {
            self.tally.sends_acknowledged += 1;
            self.measures.acknowledged.record(now.since(write.due));
            if self.plan.load.resend > 0.0 && self.random.f64() < self.plan.load.resend {
                self.send_again(index, write);
            }
        }
        self.pump(index, now);
    }

    /// As a client does that lost the answer.
    fn send_again(&mut self, index: u32, write: Write) {
        let client = &mut self.clients[index as usize];
        let outbox = client.outbox.get_or_insert_with(|| Box::new(Outbox::new(self.in_flight_max)));
        self.tally.sends_copied += u64::from(outbox.add_copy(write).is_ok());
    }

    pub(super) fn handle_done(&mut self, index: u32, send_id: &SendId, sequence: Sequence, now: Moment) {
        let Some(write) = self.answered(index, send_id, |what| !what.is_message()) else { return };
        self.tally.changes_done += 1;
        match &write.what {
            What::Subscribe { stream_id, user_ids } => {
                self.recorder.done(index, sequence, *stream_id, user_ids, true);
                self.settle_membership(index, *stream_id, user_ids, true);
            }
            What::Unsubscribe { stream_id } => self.recorder.done(index, sequence, *stream_id, &[], false),
            What::Stream { .. } | What::Direct { .. } => {}
        }
        self.pump(index, now);
    }

    pub(super) fn handle_refused(
        &mut self,
        index: u32,
        send_id: &SendId,
        code: RefusalCode,
        retry_after: Option<Duration>,
        now: Moment,
    ) {
        if let Some(wait) = retry_after {
            self.tally.refused_for_now += 1;
            let number = Origin::of(send_id.as_str(), &self.plan.tag).map(|origin| origin.number);
            if let Some((outbox, number)) = self.clients[index as usize].outbox.as_mut().zip(number) {
                outbox.handle_refused_for(wait, number, now);
            }
        } else if let Some(write) = self.answered(index, send_id, |_| true) {
            *self.tally.refusals.entry(format!("{code:?}")).or_default() += 1;
            match &write.what {
                What::Subscribe { stream_id, user_ids } => {
                    self.settle_membership(index, *stream_id, user_ids, false);
                }
                What::Unsubscribe { stream_id } => self.settle_membership(index, *stream_id, &[], true),
                What::Stream { .. } | What::Direct { .. } => {}
            }
        }
        self.pump(index, now);
    }

    /// The write that is answered finally, if it is one of this client's, of the right kind.
    fn answered(&mut self, index: u32, send_id: &SendId, is_kind: impl Fn(&What) -> bool) -> Option<Write> {
        let origin = Origin::of(send_id.as_str(), &self.plan.tag);
        let number = origin.filter(|origin| origin.worker == self.plan.worker).map(|origin| origin.number);
        let client = &mut self.clients[index as usize];
        let write =
            number.zip(client.outbox.as_mut()).and_then(|(number, outbox)| outbox.handle_answer(number));
        client.outbox.take_if(|outbox| outbox.is_empty());
        let write = write.filter(|write| is_kind(&write.what));
        if write.is_none() {
            self.tally.unasked_answers += 1;
        }
        write
    }

    /// Users are members of a stream now, or are not after all; nobody named means the client's own.
    fn settle_membership(
        &mut self,
        index: u32,
        stream_id: squall_protocol::StreamId,
        user_ids: &[UserId],
        is_member: bool,
    ) {
        let own = self.clients[index as usize].user;
        let realm = self.world.users[own as usize].realm;
        let Some(stream) = self.world.stream(realm, stream_id) else { return };
        if user_ids.is_empty() {
            self.world.users[own as usize].set_member(stream, is_member);
        }
        for user_id in user_ids {
            if let Some(user) = self.world.user(realm, *user_id) {
                user.set_member(stream, is_member);
            }
        }
    }
}

/// The name of a topic.
pub(super) fn topic_name(topic: u32) -> String {
    format!("topic {topic}")
}
