// Command grpcpeer is a gRPC server and its client on grpc-go: `grpcpeer PORT` serves, `grpcpeer` calls URL with TOKEN.
//
// Messages are bytes, so that no code needs to be generated. The client prints what it sees.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const service = "/test.Greeter/"

// raw is the codec of messages that are bytes.
type raw struct{}

func (raw) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }
func (raw) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = append([]byte{}, data...)
	return nil
}
func (raw) Name() string { return "proto" }

func main() {
	log.SetFlags(0)
	if len(os.Args) == 2 {
		serve(os.Args[1])
	} else {
		call(os.Getenv("URL"), os.Getenv("TOKEN"))
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func serve(port string) {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	must(err)
	server := grpc.NewServer(grpc.ForceServerCodec(raw{}))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Greeter",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Greet", Handler: greet}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Count", Handler: count, ServerStreams: true},
			{StreamName: "Join", Handler: join, ClientStreams: true},
			{StreamName: "Echo", Handler: echo, ServerStreams: true, ClientStreams: true},
		},
	}, struct{}{})
	must(server.Serve(listener))
}

func greet(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var name []byte
	if err := decode(&name); err != nil {
		return nil, err
	}
	if string(name) == "nobody" {
		return nil, status.Error(codes.NotFound, "no such name: nobody")
	}
	if string(name) == "late" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	received, _ := metadata.FromIncomingContext(ctx)
	if err := grpc.SetTrailer(ctx, metadata.Pairs("greeted", string(name), "sent-bin", strings.Join(received["own-bin"], ","))); err != nil {
		return nil, err
	}
	answer := append([]byte("hello "), name...)
	return &answer, nil
}

func count(_ any, stream grpc.ServerStream) error {
	var message []byte
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	for _, each := range message {
		if err := stream.SendMsg(&[]byte{each}); err != nil {
			return err
		}
	}
	return nil
}

func join(_ any, stream grpc.ServerStream) error {
	var whole []byte
	for {
		var message []byte
		if err := stream.RecvMsg(&message); err == io.EOF {
			return stream.SendMsg(&whole)
		} else if err != nil {
			return err
		}
		whole = append(whole, message...)
	}
}

func echo(_ any, stream grpc.ServerStream) error {
	for {
		var message []byte
		if err := stream.RecvMsg(&message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
}

func call(url, token string) {
	_, address, _ := strings.Cut(url, "://")
	connection, err := grpc.NewClient("passthrough:"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	must(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token, "own-bin", "\x00\xff")
	unary := func(ctx context.Context, name string) {
		var answer []byte
		var trailer metadata.MD
		request := []byte(name)
		err := connection.Invoke(ctx, service+"Greet", &request, &answer, grpc.Trailer(&trailer))
		fmt.Printf("%q %v %q %q %q\n", answer, status.Code(err), trailer["greeted"], trailer["sent-bin"], trailer["www-authenticate"])
	}
	unary(ctx, "alice")
	unary(ctx, "nobody")
	late, end := context.WithTimeout(ctx, 200*time.Millisecond)
	unary(late, "late")
	end()
	for _, kind := range []grpc.StreamDesc{
		{StreamName: "Count", ServerStreams: true},
		{StreamName: "Join", ClientStreams: true},
		{StreamName: "Echo", ServerStreams: true, ClientStreams: true},
	} {
		stream, err := connection.NewStream(ctx, &kind, service+kind.StreamName)
		must(err)
		messages := [][]byte{[]byte("abc")}
		if kind.ClientStreams {
			messages = [][]byte{make([]byte, 300_000), {}, []byte("c")}
		}
		for _, message := range messages {
			if err := stream.SendMsg(&message); err != nil {
				break // the status is that of RecvMsg
			}
		}
		must(stream.CloseSend())
		for {
			var message []byte
			if err := stream.RecvMsg(&message); err != nil {
				fmt.Println(kind.StreamName, status.Code(err), err == io.EOF)
				break
			}
			fmt.Println(kind.StreamName, len(message))
			if !kind.ServerStreams {
				break
			}
		}
	}
}
